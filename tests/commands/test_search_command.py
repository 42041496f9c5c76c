"""A search for settings, for a file and without any other flag."""

import sqlite3

import pytest
import yaml

from hf_lcl.__main__ import main
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.train import ARGUMENTS


pytest.importorskip("optuna")


@pytest.mark.slow
def test_from_a_file_to_settings_that_train_takes(start, tmp_path, capsys):
    out = tmp_path / "search"
    command = [
        *("search", start["train_file"], "--model_name_or_path", start["model_name_or_path"], "--n_trials", "1"),
        *("--num_train_epochs", "1", "--use_cpu", "true", "--disable_tqdm", "true", "--output_dir", str(out)),
    ]
    for _ in range(2):
        main(command)
    with sqlite3.connect(out / "search.db") as database:
        values = [value for (value,) in database.execute("select value from trial_values")]
    assert len(values) == 2
    told = capsys.readouterr()
    assert f"best       {max(values):.4f} on the validation texts" in told.out
    assert told.out.endswith(f"next       hf-lcl train {out}/best/settings.yaml\n")
    assert not list(out.glob("run-*"))  # no models of trials
    settings = yaml.safe_load((out / "best" / "settings.yaml").read_text())
    assert 5e-6 <= settings["learning_rate"] <= 5e-4
    assert settings["per_device_train_batch_size"] in (8, 16, 32, 64)
    assert {"temperature", "alpha", "weight_decay", "validation_split", "test_split"} <= settings.keys()
    *_, training_args = parse_arguments(ARGUMENTS, [str(out / "best" / "settings.yaml")])
    assert training_args.learning_rate == settings["learning_rate"]
    assert (training_args.output_dir, training_args.do_predict) == (str(out / "best"), True)


@pytest.mark.parametrize(
    ("argv", "words"),
    [([], "name a file of texts and labels"), (["--n_trials", "0"], "--n_trials 0 searches nothing")],
)
def test_what_cannot_be_searched(argv, words, start):
    model = ["--model_name_or_path", start["model_name_or_path"]]
    with pytest.raises(SystemExit, match=words) as ended:
        main(["search", *argv, *model])
    assert ended.value.code == 2
