"""The commands about a finished model take one by its id on the Hub, in a process that has never seen it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emulator import WRITE_TOKEN
from redirection import environment

from hf_lcl.__main__ import main
from hf_lcl.hub import push_folder


REPO = "anna/feelings"


@pytest.fixture
def folder(hub, make_trainer) -> Path:
    """What is published on the branch `trained`; `main` holds another classifier."""
    trainer = make_trainer(objective="lcl", num_train_epochs=1, learning_rate=3e-3)
    trainer.save_model()
    push_folder(trainer.args.output_dir, REPO, private=True)
    trainer.train()
    trainer.save_model()
    push_folder(trainer.args.output_dir, REPO, revision="trained")
    return Path(trainer.args.output_dir)


@pytest.fixture
def elsewhere(hub, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs a command as a process of its own, with an empty cache."""

    def elsewhere(argv: list[str], token: str | None = WRITE_TOKEN) -> subprocess.CompletedProcess:
        variables = environment(hub.url, tmp_path / "reader") | ({"HF_TOKEN": token} if token else {})
        return subprocess.run([sys.executable, "-m", "hf_lcl", *argv], capture_output=True, text=True, env=variables)

    return elsewhere


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_evaluate_measures_what_is_published(hub, folder, files, elsewhere, tmp_path):
    here, there, main_branch = (tmp_path / f"{name}.json" for name in ("here", "there", "main"))
    flags = ["--test_file", files["test"], "--output_file"]
    main(["evaluate", str(folder), *flags, str(here)])
    done = elsewhere(["evaluate", REPO, "--revision", "trained", *flags, str(there)])
    assert done.returncode == 0, done.stderr
    assert read(there) == read(here)
    assert hub.count("GET", "/resolve/.*/model.safetensors") == 1
    main(["evaluate", REPO, *flags, str(main_branch)])
    assert read(main_branch) != read(here)


@pytest.mark.slow
def test_predict_answers_as_the_folder_does(folder, files, elsewhere, capsys):
    main(["predict", str(folder), files["test"]])
    expected = capsys.readouterr().out
    assert len(expected.splitlines()) == 24
    done = elsewhere(["predict", REPO, files["test"], "--revision", "trained"])
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_model_that_may_not_be_read_ends_in_one_line(folder, files, elsewhere, command):
    argv = [command, REPO, *(["--test_file"] if command == "evaluate" else []), files["test"]]
    done = elsewhere(argv, token=None)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"No classifier can be loaded from {REPO}: " in errors[0]
    assert "Traceback" not in done.stderr
