"""The classification script from files to a standard classifier."""

import csv
import json
from pathlib import Path

import pytest
import torch
from command_line import command_line
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification


NAMES = {0: "angry", 1: "annoyed", 2: "glad", 3: "proud"}


@pytest.mark.parametrize(
    ("objective", "weighting"),
    [("scl", "head"), ("lcl", "encoder")],
)
def test_a_run_writes_classifier_card_results_and_tables(run, flags, tmp_path, capsys, objective, weighting):
    run(command_line(flags | {"objective": objective, "weighting": weighting}))
    out = tmp_path / "out"
    results = json.loads((out / "all_results.json").read_text())
    for prefix in ("eval", "predict"):
        assert {f"{prefix}_{name}" for name in ("accuracy", "macro_f1", "weighted_f1", "loss_ce")} <= set(results)
    assert [results[f"{prefix}_samples"] for prefix in ("train", "eval", "predict")] == [64, 24, 24]
    assert AutoModelForSequenceClassification.from_pretrained(out).config.id2label == NAMES
    assert len(list(csv.DictReader((out / "per_class.csv").open()))) == 4
    assert (out / "confused_pairs.csv").read_text().startswith("true,predicted,count,share\n")
    assert (out / "predict_results.txt").read_text().count("\n") == 25
    assert f"{results['eval_accuracy']:.4f}" in (out / "README.md").read_text()
    assert not (out / "training_args.bin").exists()
    printed = capsys.readouterr().out
    assert "per class" in printed
    assert "confused pairs" in printed


def test_settings_may_stand_in_one_file(run, flags, tmp_path):
    settings = flags | dict.fromkeys(("do_train", "do_eval", "use_cpu", "disable_tqdm"), True)
    settings |= {"do_predict": False, "max_steps": 1, "per_device_train_batch_size": 16, "temperature": 0.2}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    run([str(tmp_path / "settings.json")])
    assert "| temperature | 0.2 |" in (tmp_path / "out" / "README.md").read_text()


def test_a_test_file_needs_no_labels(run, flags, tmp_path):
    dataset = load_dataset("json", data_files=flags["test_file"], split="train").remove_columns("label")
    dataset.to_json(str(tmp_path / "unlabelled.jsonl"))
    run(command_line(flags | {"test_file": str(tmp_path / "unlabelled.jsonl")}))
    lines = (tmp_path / "out" / "predict_results.txt").read_text().splitlines()
    assert len(lines) == 25
    assert {line.split("\t")[1] for line in lines[1:]} <= set(NAMES.values())


def test_second_views_come_from_a_column_that_the_training_file_alone_needs(run, flags, files, raw_splits, tmp_path):
    raw_splits["train"].map(lambda row: {"paraphrase": "today " + row["text"]}).to_json(files["train"])
    views = {"num_views": "2", "view": "column", "view_column": "paraphrase", "logging_steps": "1"}
    run(command_line(flags | views | {"train_file": files["train"]}))
    history = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert {line["candidates_per_anchor"] for line in history if "loss" in line} == {31}


@pytest.fixture(scope="module")
def trained(run, settings, tmp_path_factory) -> Path:
    """The folder of a complete run."""
    out = tmp_path_factory.mktemp("trained") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hf_lcl.commands.job.find_spec", lambda package: None)
        run(command_line(settings | {"output_dir": str(out)}))
    return out


@pytest.mark.slow
def test_training_starts_from_the_seed_alone(run, flags, trained, tmp_path):
    torch.rand(3)
    run(command_line(flags))
    first, second = (
        AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
        for folder in (trained, tmp_path / "out")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_trained_model_predicts_and_is_evaluated_without_training_data(run, flags, trained, tmp_path):
    del flags["train_file"], flags["do_train"]
    run(command_line(flags | {"model_name_or_path": str(trained)}))
    out = tmp_path / "out"
    assert (out / "predict_results.txt").read_text() == (trained / "predict_results.txt").read_text()
    first, second = (json.loads((folder / "eval_results.json").read_text()) for folder in (trained, out))
    names = ("eval_accuracy", "eval_macro_f1", "eval_weighted_f1", "eval_loss_ce")
    assert [second[name] for name in names] == pytest.approx([first[name] for name in names])
