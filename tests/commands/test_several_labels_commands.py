"""The commands with several labels per text: from lists, strings or columns to a plain transformers classifier."""

import csv
import json
import random
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from launching import run_copy
from transformers import AutoModelForSequenceClassification, GPT2Config, GPT2ForSequenceClassification

from hf_lcl.__main__ import main


# Words in the vocabulary of the tests' tokenizer.
CLASS_WORDS = {
    "angry": ["furious", "rage", "shouting", "slammed"],
    "annoyed": ["sigh", "queue", "late"],
    "glad": ["sunny", "laughing", "party", "cake"],
    "proud": ["medal", "won", "graduated", "applause"],
}
SPLITS = ["train", "validation", "test"]
FILLERS = ["the", "a", "my", "neighbour", "today", "was"]
NAMES = sorted(CLASS_WORDS)
FLAGS = {
    "max_steps": "12",
    "per_device_train_batch_size": "16",
    "learning_rate": "3e-3",
    "use_cpu": "true",
    "distill_mean": "false",
    "save_strategy": "no",
}


def rows(number: int, seed: int = 0) -> list[dict]:
    """Texts with the words of none to three classes."""
    rng, found = random.Random(seed), []
    for row in range(number):
        labels = sorted(rng.sample(NAMES, rng.choices([0, 1, 2, 3], [1, 5, 3, 1])[0]))
        words = [rng.choice(FILLERS) for _ in range(3)] + [rng.choice(CLASS_WORDS[label]) for label in labels]
        rng.shuffle(words)
        found.append({"text": " ".join([*words, str(row)]), "labels": labels})
    return found


def write_jsonl(path: Path, lines: list[dict]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def write_csv(path: Path, lines: list[dict]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return str(path)


def read_csv(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def flags(start: dict[str, str], folder: Path, **more: str) -> list[str]:
    every = FLAGS | {"model_name_or_path": start["model_name_or_path"], "output_dir": str(folder)} | more
    return [f"--{name}={value}" for name, value in every.items()]


@pytest.fixture(scope="module")
def trained(start, tmp_path_factory) -> Path:
    """A folder that `train FILE` has written to, without plots."""
    folder = tmp_path_factory.mktemp("several")
    file = write_jsonl(folder / "texts.jsonl", rows(160))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hf_lcl.commands.job.find_spec", lambda package: None)
        main(["train", file, *flags(start, folder / "out", label_column_name="labels", fold_thresholds="f1")])
    return folder / "out"


def test_it_is_a_classifier_of_several_labels(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert [config["id2label"][str(index)] for index in range(4)] == NAMES
    assert list(config["folded_thresholds"]) == NAMES
    assert all(0 < cut < 1 for cut in config["folded_thresholds"].values())
    results = json.loads((trained / "all_results.json").read_text())
    names = "micro_f1", "macro_f1", "weighted_f1", "subset_accuracy", "hamming_loss", "mean_average_precision"
    assert {f"{split}_{name}" for split in ("eval", "predict") for name in names} <= results.keys()
    assert results["predict_macro_f1"] > 0.6
    settings = yaml.safe_load((trained / "settings.yaml").read_text())
    assert (settings["label_column_name"], settings["fold_thresholds"]) == ("labels", "f1")


def test_predictions_hold_all_labels_and_errors_stand_first(trained):
    found = read_csv(trained / "predictions.csv")
    assert list(found[0]) == ["text", "truth", "prediction", "probability"]
    truth = {row["text"]: "|".join(row["labels"]) for row in rows(160)}
    assert all(truth[row["text"]] == row["truth"] for row in found)
    is_right = [row["truth"] == row["prediction"] for row in found]
    assert is_right == sorted(is_right)
    for row in found:
        numbers = [float(number) for number in row["probability"].split("|") if number]
        assert len(numbers) == len([label for label in row["prediction"].split("|") if label])
        assert all(number >= 0.5 for number in numbers)
    lines = (trained / "predict_results.txt").read_text().splitlines()
    assert len(lines) == len(found) + 1


def test_a_name_that_holds_the_sign_between_labels_is_told(trained, tmp_path, caplog):
    shutil.copytree(trained, tmp_path / "out")
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    names = ["angry|loud", *NAMES[1:]]
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    (tmp_path / "out" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    file = write_jsonl(tmp_path / "new.jsonl", rows(4))
    out = ["--output_file", str(tmp_path / "predicted.csv")]
    main(["predict", str(trained), file, *out])
    main(["predict", str(tmp_path / "out"), file, *out, "--all_probabilities"])
    assert "stands between labels" not in caplog.text
    main(["predict", str(tmp_path / "out"), file, *out])
    assert "The label 'angry|loud' holds the '|' that stands between labels" in caplog.text


def test_the_card_says_how_labels_are_decided(trained):
    card = (trained / "README.md").read_text(encoding="utf-8")
    assert "top_k=None" in card
    assert "scores are decisions, not calibrated probabilities" in card
    assert "| subset accuracy |" in card  # without a report the other metrics have no interval, and are left out


@pytest.mark.slow
def test_a_pipeline_without_this_package_decides_as_evaluate_reports(trained, tmp_path, capsys):
    lines = rows(60, seed=5)
    file, out = write_jsonl(tmp_path / "new.jsonl", lines), tmp_path / "evaluated.json"
    main(["evaluate", str(trained), "--test_file", file, "--output_file", str(out)])
    assert "mean_average_precision" in capsys.readouterr().out
    code = (
        "import json, sys; sys.modules['hf_lcl'] = None; from transformers import pipeline;"
        "texts = [json.loads(line)['text'] for line in open(sys.argv[2], encoding='utf-8')];"
        "found = pipeline('text-classification', model=sys.argv[1], top_k=None)(texts);"
        "print(json.dumps([sorted(one['label'] for one in each if one['score'] > 0.5) for each in found]))"
    )
    decided = json.loads(run_copy(["-c", code, str(trained), file], tmp_path / "printed").splitlines()[-1])
    reported = json.loads(out.read_text())
    right = np.mean([found == line["labels"] for found, line in zip(decided, lines)])
    assert reported["subset_accuracy"] == pytest.approx(right)
    for row in reported["per_class"]:
        true, given = ([row["label"] in some for some in each] for each in ([r["labels"] for r in lines], decided))
        both = sum(a and b for a, b in zip(true, given))
        assert row["f1"] == pytest.approx(2 * both / max(sum(true) + sum(given), 1))
    predicted = tmp_path / "predicted.csv"
    main(["predict", str(trained), file, "--output_file", str(predicted), "--all_probabilities"])
    labels = [sorted(filter(None, row["label"].split("|"))) for row in read_csv(predicted)]
    assert labels == decided
    for row in read_csv(predicted):
        assert [row[f"p({name})"] for name in filter(None, row["label"].split("|"))] == [
            number for number in row["probability"].split("|") if number
        ]


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("shape", ["delimiter", "columns"])
def test_other_shapes_give_the_same_classifier(trained, start, tmp_path, shape):
    lines = rows(160)
    if shape == "delimiter":
        content = [{"text": row["text"], "labels": " ; ".join(row["labels"])} for row in lines]
        more = ["--label_column_name=labels", "--label_delimiter=;", "--delimiter=,"]
    else:
        content = [{"text": row["text"], **{name: int(name in row["labels"]) for name in NAMES}} for row in lines]
        more = ["--label_columns", *NAMES]
    file = write_csv(tmp_path / "texts.csv", content)
    main(["train", file, *flags(start, tmp_path / "out", fold_thresholds="f1"), *more])
    for name in ("predictions.csv", "per_class.csv"):
        assert (trained / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    main(["evaluate", str(tmp_path / "out"), "--test_file", file, "--output_file", str(tmp_path / "found.json")])
    assert json.loads((tmp_path / "found.json").read_text())["samples"] == 160


@pytest.mark.slow
def test_report_draws_pictures_and_folds_thresholds_into_a_folder(trained, tmp_path, capsys):
    folder = tmp_path / "out"
    shutil.copytree(trained, folder)
    file = write_jsonl(tmp_path / "new.jsonl", rows(60, seed=6))
    argv = ["report", str(folder), "--test_file", file, "--validation_file", file, "--fold_thresholds"]
    main([*argv, "precision=0.8"])
    assert "(precision=0.8), now 0.5: on 60 validation texts macro F1" in capsys.readouterr().out
    before, after = (json.loads((path / "config.json").read_text())["folded_thresholds"] for path in (trained, folder))
    assert before != after
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{after[NAMES[0]]:.2f} for {NAMES[0]}" in card
    assert all(f"| {name} | " in card for name in ("macro F1", "mean average precision", "subset accuracy"))
    assert "missed, and what is predicted instead" in card
    for name in ("label_cooccurrence", "label_probabilities", "thresholds", "reliability"):
        assert (folder / "report" / f"{name}.png").is_file()
        assert f"](report/{name}.png)" in card
    # Probabilities are those before thresholding: they do not depend on the thresholds.
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "before that. " in page
    assert "Before the thresholds" in page
    assert "the temperature" not in card
    first = read_csv(folder / "report" / "reliability.csv")
    scores = (folder / "report" / "per_class.csv").read_text()
    main([*argv, "f1"])
    for row, other in zip(first, read_csv(folder / "report" / "reliability.csv"), strict=True):
        assert float(row["confidence"] or 0) == pytest.approx(float(other["confidence"] or 0), abs=1e-3)
    assert (folder / "report" / "per_class.csv").read_text() != scores


def test_the_calibration_error_is_that_of_the_probabilities_before_the_cuts(trained, tmp_path):
    file, found = write_jsonl(tmp_path / "new.jsonl", rows(60, seed=6)), []
    cuts = json.loads((trained / "config.json").read_text())["folded_thresholds"]
    for name in ("folded", "before"):
        folder = tmp_path / name
        shutil.copytree(trained, folder)
        if name == "before":
            model = AutoModelForSequenceClassification.from_pretrained(folder)
            with torch.no_grad():
                model.classifier.bias += torch.logit(torch.tensor([cuts[label] for label in NAMES]))
            model.config.folded_thresholds = None
            model.save_pretrained(folder)
        out = tmp_path / f"{name}.json"
        main(["evaluate", str(folder), "--test_file", file, "--output_file", str(out)])
        found.append(json.loads(out.read_text()))
    assert found[0]["calibration_error"] == pytest.approx(found[1]["calibration_error"], abs=1e-3)
    assert found[0]["macro_f1"] != found[1]["macro_f1"]


def test_a_temperature_is_not_folded_beside_thresholds(trained, tmp_path, fails):
    pytest.importorskip("matplotlib")
    file = write_jsonl(tmp_path / "new.jsonl", rows(8))
    argv = ["report", str(trained), "--test_file", file, "--validation_file", file, "--fold_temperature"]
    assert "has folded thresholds: scores are decisions" in fails(argv)
    assert "exclude one another" in fails([*argv, "--fold_thresholds", "f1"])


def test_what_does_not_speak_several_labels_says_so(trained, tmp_path, fails):
    file = write_jsonl(tmp_path / "new.jsonl", rows(8))
    assert "--top_k ranks classes" in fails(["predict", str(trained), file, "--top_k", "2"])
    assert "--reject_below ranks classes" in fails(["predict", str(trained), file, "--reject_below", "0.5"])
    told = "predict, evaluate, report and export take such a classifier, and report --fold_thresholds f1"
    for command in (
        ["demo", str(trained)],
        ["next", str(trained), file, "--output_file", str(tmp_path / "next.csv")],
        ["calibrate", str(trained), "--validation_file", file, "--out_of_scope", "keep=0.9"],
    ):
        assert told in fails(command)
    assert "Line 1 holds a list of labels" in (message := fails(["audit", file, "--label_column_name", "labels"]))
    assert "--no_labels looks for duplicates" in message


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_objectives_are_compared_by_the_texts_whose_labels_are_all_right(start, tmp_path):
    files = {split: write_jsonl(tmp_path / f"{split}.jsonl", rows(60, seed)) for seed, split in enumerate(SPLITS)}
    more = [f"--{split}_file={file}" for split, file in files.items()]
    argv = flags(start, tmp_path / "out", label_column_name="labels", fold_thresholds="f1", max_steps="4")
    main(["compare", *argv, *more, "--objectives", "ce", "lcl", "--seeds", "0"])
    runs = [json.loads(line) for line in (tmp_path / "out" / "runs.jsonl").read_text().splitlines()]
    assert [run["settings"]["data"]["fold_thresholds"] for run in runs] == ["f1", "f1"]
    truth = [[name in row["labels"] for name in NAMES] for row in rows(60, SPLITS.index("test"))]
    right = [np.mean((np.array(run["predictions"]) == truth).all(axis=1)) for run in runs]
    assert [run["metrics"]["subset_accuracy"] for run in runs] == pytest.approx(right)
    table = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "| all labels right - ce |" in table
    assert f" | {100 * (right[1] - right[0]):+.1f} | " in table


def test_the_commands_of_the_page_run_as_printed(trained, tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "examples" / "docs" / "several_labels.md"
    train, *others = page.read_text(encoding="utf-8").partition("```bash\n")[2].partition("```")[0].splitlines()
    settings = yaml.safe_load((trained / "settings.yaml").read_text())
    for name in ("label_column_name", "fold_thresholds"):  # `trained` is what the first one writes
        assert f"--{name} {settings[name]}" in train
    shutil.copytree(trained, tmp_path / "out")
    write_jsonl(tmp_path / "new.jsonl", rows(8, seed=7))
    monkeypatch.chdir(tmp_path)
    for command in others:
        main(shlex.split(command)[1:])
    assert [row["text"] for row in read_csv(tmp_path / "predicted.csv")] == [row["text"] for row in rows(8, seed=7)]


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        ([{"text": "a b", "labels": ["x", "x"]}], [], ["'x' stands twice"]),
        ([{"text": "a b", "labels": ["0", "1", "0"]}], [], ["label_columns"]),
        ([{"text": "a b", "labels": "x"}], [], ["a list in some rows and a single value in others. Write a list"]),
        ([{"text": "a b", "labels": None}], [], ["no label in column 'labels'"]),
        ([{"text": "a b", "labels": ["x", None]}], [], ["['x', None]", "with an empty label"]),
        ([{"text": "a b", "labels": [["x"], ["y"]]}], [], ["[['x'], ['y']]", "a label is a name or a number"]),
        ([{"text": "a b", "labels": [{"name": "x"}]}], [], ["[{'name': 'x'}]", "a label is a name or a number"]),
    ],
)
def test_wrong_lists_are_named(start, tmp_path, fails, content, more, words):
    file = write_jsonl(tmp_path / "texts.jsonl", [{"text": "one text", "labels": ["x", "y"]}, *content])
    message = fails(["train", file, *flags(start, tmp_path / "out", label_column_name="labels"), *more])
    assert all(word in message for word in [f"The train file {file}, line 2", *words]), message


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        ([{"text": "a", "labels": ["x"]}], ["--label_delimiter=|"], [" holds lists", "leave --label_delimiter"]),
        (
            [{"text": "a", "labels": []}, {"text": "b", "labels": [0.5, 0.2]}],
            [],
            [", line 2: ['0.5', '0.2'] are floats"],
        ),
        ([{"text": "a", "labels": []}, {"text": "b", "labels": []}], [], [" has no labels: there is no class"]),
        ([{"text": "a", "labels": ["x"]}], [], [" has a single class, 'x'"]),
    ],
)
def test_whole_files_of_wrong_lists_are_named(start, tmp_path, fails, content, more, words):
    file = write_jsonl(tmp_path / "texts.jsonl", content)
    message = fails(["train", file, *flags(start, tmp_path / "out", label_column_name="labels"), *more])
    assert all(word in message for word in [f"The train file {file}", *words]), message


def test_labels_that_the_training_file_lacks_are_named(trained, start, tmp_path, fails):
    file = write_jsonl(tmp_path / "texts.jsonl", rows(40))
    other = write_jsonl(tmp_path / "new.jsonl", [*rows(2), {"text": "a b", "labels": ["glad", "sad"]}])
    argv = ["train", file, *flags(start, tmp_path / "out", label_column_name="labels", validation_file=other)]
    told = f"The validation file {other}, line 3: label 'sad' does not occur"
    assert told in fails(argv)
    assert "The test file" in (message := fails(["evaluate", str(trained), "--test_file", other]))
    assert "line 3: label 'sad' does not occur in the classes of the model" in message


def test_a_last_layer_without_bias_is_told_before_training(start, tmp_path, fails):
    config = GPT2Config(
        vocab_size=200, n_embd=32, n_layer=1, n_head=2, num_labels=4, pad_token_id=0, bos_token_id=1, eos_token_id=1
    )
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "gpt2")
    file, out = write_jsonl(tmp_path / "texts.jsonl", rows(60)), tmp_path / "out"
    more = {"tokenizer_name": start["model_name_or_path"], "label_column_name": "labels", "fold_thresholds": "f1"}
    message = fails(["train", file, *flags({"model_name_or_path": str(tmp_path / "gpt2")}, out, **more)])
    assert "GPT2ForSequenceClassification has no bias there: leave it out" in message
    assert not (out / "model.safetensors").exists()


def test_test_files_of_another_shape_are_told_how_they_are_read(trained, tmp_path, fails):
    joined = [{"text": row["text"], "labels": "|".join(row["labels"])} for row in rows(20)]
    joined.append({"text": "none of them", "labels": ""})
    file = write_csv(tmp_path / "joined.csv", joined)
    message = fails(["evaluate", str(trained), "--test_file", file])
    assert 'is no list of labels: where several labels stand in one cell, write --label_delimiter "|"' in message
    cells = [{"text": row["text"], **{name: int(name in row["labels"]) for name in NAMES[1:]}} for row in rows(20)]
    file = write_csv(tmp_path / "columns.csv", cells)
    message = fails(["evaluate", str(trained), "--test_file", file, "--label_columns", *NAMES[1:]])
    assert f"label_columns lacks {NAMES[0]!r}" in message, message
    (tmp_path / "none.jsonl").write_text("\n")
    assert "none.jsonl has no rows" in fails(["evaluate", str(trained), "--test_file", str(tmp_path / "none.jsonl")])


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        (
            [{"text": "a", "x": "0.5", "y": "0"}],
            ["--label_columns", "x", "y"],
            [", line 2: column 'x' holds '0.5'"],
        ),
        (
            [{"text": "a", "x": 1, "y": 0, "z": 1}],
            ["--label_columns", "x", "y", "z"],
            ["no text with the label 'y'"],
        ),
        ([{"text": "a", "x": "0", "y": "0"}], ["--label_columns", "x", "y"], [" has no labels"]),
        ([{"text": "a", "x": "1", "y": "0"}], ["--label_columns", "x", "z"], ["no column 'z'", "'y'"]),
        ([{"text": "a", "x": "1", "y": "0"}], ["--label_columns", "x"], ["two columns or more"]),
        ([{"text": "a", "label": "q"}], ["--label_delimiter="], ["label_delimiter is empty", "'|'"]),
        ([{"text": "a", "label": "q"}], ["--fold_thresholds=best"], ["'best' is unknown: use f1"]),
        ([{"text": f"text {n}", "label": "qr"[n % 2]} for n in range(30)], ["--fold_thresholds=f1"], ["one class"]),
    ],
)
def test_wrong_columns_and_flags_are_named(start, tmp_path, fails, content, more, words):
    file = write_csv(tmp_path / "texts.csv", content)
    message = fails(["train", file, *flags(start, tmp_path / "out"), *more])
    assert all(word in message for word in words), message
