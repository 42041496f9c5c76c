"""`train FILE` divides the logits by a temperature, so that the classifier is no surer than it should be."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from hf_lcl.__main__ import main
from hf_lcl.commands.closing import summary_lines
from hf_lcl.evaluation import expected_calibration_error, fit_temperature
from hf_lcl.evaluation.summary import read_summary


@pytest.fixture(scope="module")
def files(make_texts, tmp_path_factory) -> dict[str, Path]:
    """A jsonl file for each split; every third label is of a random class, which nothing can learn."""
    folder, chance = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    paths = {}
    for seed, (split, number) in enumerate({"train": 12, "validation": 20, "test": 40}.items()):
        texts = make_texts(number, seed)
        names = sorted(set(texts["label"][:]))
        wrong = [str(chance.choice(names)) if chance.random() < 1 / 3 else label for label in texts["label"][:]]
        paths[split] = folder / f"{split}.jsonl"
        texts.remove_columns("label").add_column("label", wrong).to_json(paths[split])
    return paths


@pytest.fixture(scope="module")
def train(start, files):
    """Runs `train FILE` into a folder, with other flags."""

    def run(out: Path, *flags: str, first: tuple[str, ...] = (str(files["train"]),)) -> Path:
        common = {"output_dir": out, "max_steps": 80, "learning_rate": 5e-3, "use_cpu": "true", "disable_tqdm": "true"}
        common |= {"model_name_or_path": start["model_name_or_path"]}
        common |= {f"{split}_file": files[split] for split in ("validation", "test")}
        main(["train", *first, *(f"--{name}={value}" for name, value in common.items()), *flags])
        return out

    return run


@pytest.fixture(scope="module")
def folded(train, tmp_path_factory) -> Path:
    """The folder that `train FILE` wrote."""
    return train(tmp_path_factory.mktemp("folded") / "out")


@pytest.fixture(scope="module")
def as_trained(train, tmp_path_factory) -> Path:
    """The same without a temperature."""
    return train(tmp_path_factory.mktemp("as_trained") / "out", "--fold_temperature=false")


def temperature_of(folder: Path) -> float | None:
    return json.loads((folder / "config.json").read_text()).get("folded_temperature")


def logits_of(folder: Path, file: Path, tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Logits and class ids, computed with transformers alone."""
    model, texts = AutoModelForSequenceClassification.from_pretrained(folder).eval(), Dataset.from_json(str(file))
    with torch.no_grad():
        logits = model(**tokenizer(texts["text"][:], padding=True, return_tensors="pt")).logits
    return logits.numpy(), np.array([model.config.label2id[label] for label in texts["label"][:]])


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_logits_are_divided_by_the_temperature_of_the_validation_texts(folded, as_trained, files, tokenizer):
    temperature = temperature_of(folded)
    assert temperature_of(as_trained) is None
    assert temperature == pytest.approx(fit_temperature(*logits_of(as_trained, files["validation"], tokenizer)), 1e-3)
    assert temperature > 1.5
    (before, labels), (after, _) = (logits_of(folder, files["test"], tokenizer) for folder in (as_trained, folded))
    np.testing.assert_allclose(after, before / temperature, rtol=1e-4, atol=1e-5)
    assert expected_calibration_error(after, labels) < expected_calibration_error(before, labels) - 0.05


def test_all_other_weights_stay(folded, as_trained):
    before, after = (load_file(folder / "model.safetensors") for folder in (as_trained, folded))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "classifier.weight",
        "classifier.bias",
    }


def test_predictions_are_the_same_and_less_sure(folded, as_trained):
    before, after = (
        {row["text"]: row for row in read_csv(folder / "predictions.csv")} for folder in (as_trained, folded)
    )
    assert {text: row["prediction"] for text, row in before.items()} == {
        text: row["prediction"] for text, row in after.items()
    }
    assert all(float(row["probability"]) < float(before[text]["probability"]) for text, row in after.items())


def test_the_report_and_the_card_compare_both(folded, files, tokenizer):
    logits, labels = logits_of(folded, files["test"], tokenizer)
    temperature = temperature_of(folded)
    found = read_summary(folded)["calibration"]
    assert found["folded"]
    assert found["temperature"] == temperature
    errors = [expected_calibration_error(logits * factor, labels) for factor in (temperature, 1.0)]
    assert [found["error_before"], found["error_after"]] == pytest.approx(errors, abs=0.01)
    card = (folded / "README.md").read_text(encoding="utf-8")
    assert f"divided by the temperature {temperature:.3f}" in card
    assert f"is now {found['error_after']:.3f} instead of {found['error_before']:.3f}" in card
    assert {row["scaling"] for row in read_csv(folded / "report" / "reliability.csv")} == {"before", "after"}
    page = (folded / "report" / "index.html").read_text(encoding="utf-8")
    assert f"the logits were divided by the temperature {temperature:.3f}" in page


@pytest.mark.parametrize(("right", "remark"), [(4, ", worse here; without it: --fold_temperature false"), (2, "")])
def test_the_closing_line_says_where_it_made_things_worse(tmp_path, right, remark):
    labels = np.array([0] * right + [1] * (4 - right))
    line = summary_lines(tmp_path, "test", np.array([[1.0, 0.0]] * 4), labels, ["glad", "sad"], None, 2.0)[1]
    before, after = ((right * np.log1p(np.exp(-a)) + (4 - right) * np.log1p(np.exp(a))) / 4 for a in (2.0, 1.0))
    assert line.endswith(f"negative log-likelihood {before:.3f} to {after:.3f}{remark}")


@pytest.mark.usefixtures("without_pictures")
class TestWhen:
    """When a temperature is folded."""

    def test_it_is_told_and_the_settings_repeat_it(self, train, folded, files, tmp_path, capsys):
        settings = yaml.safe_load((folded / "settings.yaml").read_text())
        assert settings["fold_temperature"] is True
        again = train(tmp_path / "out", first=(str(folded / "settings.yaml"),))
        assert temperature_of(again) == pytest.approx(temperature_of(folded), rel=1e-3)
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("scaled "))
        assert f"by the temperature {temperature_of(again):.2f} of the validation texts" in line

    def test_few_validation_texts_are_not_enough(self, train, tmp_path):
        assert temperature_of(train(tmp_path / "few", "--max_eval_samples=9", "--max_steps=2")) is None
        assert temperature_of(train(tmp_path / "ten", "--max_eval_samples=10", "--max_steps=2")) is not None

    def test_all_output_or_little_makes_no_difference(self, train, tmp_path, capsys):
        assert temperature_of(train(tmp_path / "out", "--verbose", "--max_steps=2")) is not None
        assert "per class" in capsys.readouterr().out

    def test_with_other_work_only_if_it_is_asked_for(self, train, files, tmp_path):
        work = "--do_train", "--do_eval", "--max_steps=2"
        first = (f"--train_file={files['train']}",)
        assert temperature_of(train(tmp_path / "plain", *work, first=first)) is None
        assert temperature_of(train(tmp_path / "asked", *work, "--fold_temperature=true", first=first)) is not None

    def test_it_is_told_without_texts_to_measure_it_on(self, train, files, tmp_path, capsys):
        unlabelled = tmp_path / "new.jsonl"
        Dataset.from_json(str(files["test"])).remove_columns("label").to_json(unlabelled)
        out = train(tmp_path / "out", f"--test_file={unlabelled}", "--max_steps=2")
        number = f"{temperature_of(out):.3f}"
        assert f"temperature {number}, fitted to 80 validation texts, divides the logits" in capsys.readouterr().out
        assert f"divided by the temperature {number}" in (out / "README.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("again", ["true", "false"])
    def test_a_training_that_goes_on_from_it_has_its_own_or_none(self, train, folded, tmp_path, again):
        out = train(tmp_path / "out", f"--model_name_or_path={folded}", "--max_steps=2", f"--fold_temperature={again}")
        told = "divided by the temperature" in (out / "README.md").read_text(encoding="utf-8")
        assert told == (temperature_of(out) is not None) == (again == "true")
        if told:
            plain = train(
                tmp_path / "plain", f"--model_name_or_path={folded}", "--max_steps=2", "--fold_temperature=false"
            )
            ratio = (
                load_file(plain / "model.safetensors")["classifier.bias"]
                / load_file(out / "model.safetensors")["classifier.bias"]
            )
            assert ratio.mean().item() == pytest.approx(temperature_of(out), rel=1e-3)

    def test_beside_a_class_for_texts_of_no_class_there_is_one_temperature(self, train, tmp_path):
        out = train(tmp_path / "out", "--out_of_scope=keep=0.9", "--max_steps=2")
        assert temperature_of(out) is None
        assert json.loads((out / "config.json").read_text())["out_of_scope"]["temperature"] > 0

    def test_a_training_that_goes_on_from_such_a_class_says_nothing_of_it(self, train, tmp_path):
        added = train(tmp_path / "added", "--out_of_scope=keep=0.9", "--max_steps=2")
        out = train(tmp_path / "out", f"--model_name_or_path={added}", "--max_steps=2")
        config = json.loads((out / "config.json").read_text())
        assert "out_of_scope" not in {*config, *config["label2id"]}
        assert "out_of_scope" not in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--do_train"], "fold_temperature chooses on validation texts: give --validation_file"),
        (["--do_eval", "--validation_file={test}"], "fold_temperature changes the classifier that is trained"),
        (
            ["--do_train", "--validation_file={test}", "--out_of_scope=keep=0.9"],
            "out_of_scope folds a temperature of its own: write --fold_temperature false.",
        ),
        (["--do_train", "--validation_file={test}", "--fold_thresholds=f1"], "fold_thresholds is for several labels"),
    ],
)
def test_where_it_cannot_be_folded_that_is_told_before_training(start, files, tmp_path, fails, flags, message):
    out = tmp_path / "out"
    common = {"model_name_or_path": start["model_name_or_path"], "train_file": files["train"], "output_dir": out}
    common |= {"fold_temperature": "true", "use_cpu": "true"}
    given = [flag.format(test=files["test"]) for flag in flags]
    assert message in fails(["train", *(f"--{name}={value}" for name, value in common.items()), *given])
    assert not (out / "model.safetensors").exists()
