"""The classification script from files to a standard classifier."""

import csv
import json

import pytest
import torch
import yaml
from conftest import command_line
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification


NAMES = {0: "angry", 1: "annoyed", 2: "glad", 3: "proud"}


@pytest.mark.parametrize(
    ("objective", "weighting"),
    [("ce", "head"), ("scl", "head"), ("lcl", "head"), ("lcl", "encoder"), ("lcl", "classifier")],
)
def test_a_run_writes_classifier_card_results_and_tables(run, flags, tmp_path, capsys, objective, weighting):
    run(command_line(flags | {"objective": objective, "weighting": weighting}))
    out = tmp_path / "out"
    results = json.loads((out / "all_results.json").read_text())
    for prefix in ("eval", "predict"):
        assert {f"{prefix}_{name}" for name in ("accuracy", "macro_f1", "weighted_f1", "loss_ce")} <= set(results)
    assert AutoModelForSequenceClassification.from_pretrained(out).config.id2label == NAMES
    assert len(list(csv.DictReader((out / "per_class.csv").open()))) == 4
    assert (out / "confused_pairs.csv").read_text().startswith("true,predicted,count,share\n")
    assert (out / "predict_results.txt").read_text().count("\n") == 25
    assert f"{results['eval_accuracy']:.4f}" in (out / "README.md").read_text()
    assert not (out / "training_args.bin").exists()
    printed = capsys.readouterr().out
    assert "per class" in printed
    assert "confused pairs" in printed


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_settings_may_stand_in_one_file(run, flags, tmp_path, suffix):
    path = tmp_path / f"settings{suffix}"
    settings = flags | dict.fromkeys(("do_train", "do_eval", "use_cpu", "disable_tqdm"), True)
    settings |= {"do_predict": False, "num_train_epochs": 1, "per_device_train_batch_size": 16, "temperature": 0.2}
    path.write_text(json.dumps(settings) if suffix == ".json" else yaml.safe_dump(settings))
    run([str(path)])
    assert "| temperature | 0.2 |" in (tmp_path / "out" / "README.md").read_text()


def test_a_test_file_needs_no_labels(run, flags, tmp_path):
    dataset = load_dataset("json", data_files=flags["test_file"], split="train").remove_columns("label")
    dataset.to_json(str(tmp_path / "unlabelled.jsonl"))
    run(command_line(flags | {"test_file": str(tmp_path / "unlabelled.jsonl")}))
    lines = (tmp_path / "out" / "predict_results.txt").read_text().splitlines()
    assert len(lines) == 25
    assert {line.split("\t")[1] for line in lines[1:]} <= set(NAMES.values())


def test_a_trained_model_predicts_without_training_data(run, flags, tmp_path):
    run(command_line(flags))
    first = (tmp_path / "out" / "predict_results.txt").read_text()
    again = {name: flags[name] for name in ("test_file", "do_predict", "use_cpu", "disable_tqdm")}
    run(command_line(again | {"model_name_or_path": str(tmp_path / "out"), "output_dir": str(tmp_path / "again")}))
    assert (tmp_path / "again" / "predict_results.txt").read_text() == first


def test_csv_with_other_column_names_and_id_labels(run, flags, raw_splits, tmp_path):
    ids = {name: index + 1 for index, name in NAMES.items()}
    for name in raw_splits:
        rows = (
            raw_splits[name]
            .map(lambda row: {"label": str(ids[row["label"]])})
            .rename_columns({"text": "body", "label": "grade"})
        )
        rows.add_column("title", ["the"] * len(rows)).to_csv(str(tmp_path / f"{name}.csv"), index=False)
        flags[f"{name}_file"] = str(tmp_path / f"{name}.csv")
    run(
        command_line(
            flags | {"text_column_names": "title,body", "label_column_name": "grade", "max_train_samples": "40"}
        )
    )
    config = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").config
    assert config.id2label == {0: "1", 1: "2", 2: "3", 3: "4"}


def test_training_starts_from_the_seed_alone(run, flags, tmp_path):
    for folder in ("a", "b"):
        run(command_line(flags | {"output_dir": str(tmp_path / folder)}))
        torch.rand(3)
    first, second = (
        AutoModelForSequenceClassification.from_pretrained(tmp_path / folder).state_dict() for folder in ("a", "b")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
