"""`train` works like the script, and also takes a file."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from hf_lcl.__main__ import main


SCRIPT = Path(__file__).parents[2] / "examples" / "run_classification.py"


@pytest.fixture(scope="module")
def trained(flags_into, tmp_path_factory) -> Path:
    """A folder that `train` has written to, plots included."""
    out = tmp_path_factory.mktemp("train") / "out"
    main(["train", *flags_into(out), "--do_train", "--do_eval", "--do_predict"])
    return out


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_it_does_what_the_script_does(trained, training_flags, tmp_path):
    spec = importlib.util.spec_from_file_location("run_classification", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main([*training_flags, "--do_train", "--do_eval", "--do_predict"])
    other = tmp_path / "out"
    alone = {"report", "settings.yaml"}
    assert {path.name for path in trained.iterdir()} == {path.name for path in other.iterdir()} | alone
    weights, same = load_file(trained / "model.safetensors"), load_file(other / "model.safetensors")
    assert all(weights[name].equal(same[name]) for name in weights)
    for name in ("predict_results.txt", "per_class.csv"):
        assert (trained / name).read_bytes() == (other / name).read_bytes()
    results = json.loads((trained / "all_results.json").read_text())
    assert [results[f"{prefix}_samples"] for prefix in ("train", "eval", "predict")] == [64, 24, 24]


@pytest.mark.slow
def test_the_folder_holds_the_pictures_and_the_card_shows_them(trained):
    names = ["confusion_matrix", "embedding_map", "label_relations", "reliability"]
    card = (trained / "README.md").read_text(encoding="utf-8")
    for name in names:
        assert (trained / "report" / f"{name}_dark.png").is_file()
        assert f"](report/{name}.png)" in card
    assert "On the test split (24 texts), one run (seed 42); in brackets the 95 % interval over the texts:" in card
    assert "| test | 24 | `" in card


@pytest.mark.slow
def test_without_a_test_split_the_report_is_on_the_validation_split(training_flags, tmp_path):
    flags = [flag for flag in training_flags if not flag.startswith("--test_file")]
    main(["train", *flags, "--do_train", "--do_eval", "--objective=ce"])
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "On the validation split (24 texts)" in card
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert "Validation split, 24 texts" in page
    assert "Only the objective lcl trains one" in page


@pytest.mark.usefixtures("without_pictures")
def test_later_flags_override_the_file(training_flags, tmp_path):
    settings = dict(flag.removeprefix("--").split("=", 1) for flag in training_flags)
    settings |= {"do_train": True, "temperature": 0.2, "objective": "scl"}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    main(["train", str(tmp_path / "settings.yaml"), "--temperature", "0.4", f"--output_dir={tmp_path / 'else'}"])
    card = (tmp_path / "else" / "README.md").read_text(encoding="utf-8")
    assert "| temperature | 0.4 |" in card
    assert "supervised contrastive loss" in card
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_is_told(training_flags, fails):
    flags = [flag for flag in training_flags if not flag.startswith("--train_file")]
    assert "There is nothing to do: give --do_train" in fails(["train", *flags])
