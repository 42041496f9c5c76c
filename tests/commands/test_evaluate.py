"""`evaluate` measures any finished classifier."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from hf_lcl import LCLForSequenceClassification
from hf_lcl.__main__ import main


NAMES = ["angry", "annoyed", "glad", "proud"]


@pytest.fixture
def expected(reader, raw_splits) -> dict[str, float]:
    """The metrics by scikit-learn of predictions by transformers."""
    probabilities = np.array([reader(text) for text in raw_splits["test"]["text"]])
    predicted, true = probabilities.argmax(axis=1), [NAMES.index(label) for label in raw_splits["test"]["label"]]
    return {
        "accuracy": accuracy_score(true, predicted),
        "macro_f1": f1_score(true, predicted, average="macro", zero_division=0),
        "weighted_f1": f1_score(true, predicted, average="weighted", zero_division=0),
    }


def test_the_figures_are_those_of_transformers_and_scikit_learn(plain, files, expected, tmp_path, capsys):
    out = tmp_path / "new" / "results.json"
    main(["evaluate", str(plain), "--test_file", files["test"], "--output_file", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["samples"] == 24
    assert [row["label"] for row in found["per_class"]] == NAMES
    assert sum(row["support"] for row in found["per_class"]) == 24
    assert 0 <= found["calibration_error"] <= 1
    printed = capsys.readouterr().out
    assert f"{expected['accuracy']:.3f}" in printed
    assert "most often confused" in printed


def test_labels_may_be_ids_where_the_model_has_no_names(plain, files, expected, raw_splits, tmp_path):
    config = json.loads((plain / "config.json").read_text())
    del config["id2label"], config["label2id"]
    (plain / "config.json").write_text(json.dumps(config | {"num_labels": 4}))
    rows = raw_splits["test"].map(lambda row: {"id": NAMES.index(row["label"])}).remove_columns("label")
    rows.rename_column("id", "label").to_json(tmp_path / "ids.jsonl")
    out = tmp_path / "results.json"
    main(["evaluate", str(plain), "--test_file", str(tmp_path / "ids.jsonl"), "--output_file", str(out)])
    assert json.loads(out.read_text())["accuracy"] == pytest.approx(expected["accuracy"])


def test_how_labels_are_written_may_differ_from_training(plain, tmp_path, fails):
    (plain / "settings.yaml").write_text('label_delimiter: "|"\nlabel_column_name: mood\n')
    columns = {name: ["0", "1"] for name in NAMES}
    pd.DataFrame({"text": ["a cake", "a party"], **columns}).to_csv(tmp_path / "t.csv", index=False)
    told = fails(["evaluate", str(plain), "--test_file", str(tmp_path / "t.csv"), "--label_columns", *NAMES])
    assert "label_delimiter" not in told


def test_classes_may_be_numbers_from_1(plain, files, tmp_path):
    config = json.loads((plain / "config.json").read_text())
    config |= {"id2label": {index: index + 1 for index in range(4)}}
    config.pop("label2id", None)
    (plain / "config.json").write_text(json.dumps(config))
    rows = pd.read_json(files["test"], lines=True)
    rows["label"] = [1 + NAMES.index(name) for name in rows["label"]]
    rows.to_csv(tmp_path / "stars.csv", index=False)
    main(
        ["evaluate", str(plain), "--test_file", str(tmp_path / "stars.csv"), "--output_file", str(tmp_path / "o.json")]
    )
    assert json.loads((tmp_path / "o.json").read_text())["samples"] == len(rows)


def test_a_training_model_will_do(plain, bert, files, expected, tmp_path):
    LCLForSequenceClassification.from_native(bert).save_pretrained(plain)
    out = tmp_path / "results.json"
    main(["evaluate", str(plain), "--test_file", files["test"], "--output_file", str(out)])
    assert json.loads(out.read_text())["accuracy"] == pytest.approx(expected["accuracy"])


def test_texts_that_are_cut_are_told_of(plain, files, caplog):
    main(["evaluate", str(plain), "--test_file", files["test"], "--max_seq_length", "6"])
    assert "texts of the test split have more tokens than --max_seq_length" in caplog.text


def test_what_is_no_finished_classifier(plain, encoder_folder, files, tmp_path, fails):
    command = ["--test_file", files["test"]]
    assert "would answer at random. Train it first" in fails(["evaluate", str(encoder_folder), *command])
    assert "No classifier can be loaded from nowhere" in fails(["evaluate", "nowhere", *command])
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "model.onnx").touch()
    assert "name the folder that it was exported from" in fails(["evaluate", str(tmp_path / "graph"), *command])
    assert "No data: give --test_file, or --dataset_name" in fails(["evaluate", str(plain)])
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"text": "cake", "label": "sad"}\n')
    assert "label 'sad' does not occur" in fails(["evaluate", str(plain), "--test_file", str(wrong)])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (plain / name).unlink()
    assert "holds no tokenizer" in fails(["evaluate", str(plain), *command])
