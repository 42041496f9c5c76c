"""The classification script from files to a standard classifier."""

import csv
import json

import pytest
import torch
import yaml
from command_line import command_line
from datasets import Dataset, load_dataset
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


def table(printed: str) -> dict[str, list[str]]:
    """The summary of the data that a run has printed, line by line."""
    lines = printed.split("data\n")[1].split("\n\n")[0].splitlines()[1:]
    return {line[:26].strip(): line[26:].split() for line in lines}


def test_a_table_tells_what_the_data_holds(run, flags, raw_splits, files, tmp_path, capsys):
    test = raw_splits["test"]
    leaked = [{"text": f" {raw_splits['train'][row]['text']}", "label": "glad"} for row in range(3)]
    Dataset.from_list([*test, test[0], *leaked]).to_json(files["test"])
    train = list(raw_splits["train"])
    other = {"text": train[0]["text"], "label": "glad" if train[0]["label"] != "glad" else "proud"}
    Dataset.from_list([*train, other, *train]).to_json(files["train"])
    run(command_line(flags | {"max_seq_length": "8", "max_train_samples": "65", "drop_conflicts": "true"}))
    lines = table(capsys.readouterr().out)
    assert lines["rows"] == ["63", "24", "28"]
    assert sum(int(lines[name][0]) for name in NAMES.values()) == 63
    assert lines["same text and label again"] == ["0", "0", "1"]
    assert lines["same text, several labels"] == ["0", "0", "0"]
    assert lines["text also in train"] == ["-", "0", "2"]
    assert lines["dropped: max_train_samples"] == ["64", "0", "0"]
    assert lines["dropped: several labels"] == ["2", "0", "0"]
    words = [len(row["text"].split()) for row in raw_splits["validation"]]
    assert lines["too long, cut"][1] == str(sum(count + 2 > 8 for count in words))
    assert lines["tokens, longest"][1] == str(max(words) + 2)


def test_conflicts_stay_where_nobody_asks_to_drop_them(run, flags, raw_splits, files, capsys):
    text = raw_splits["train"][0]["text"]
    train = [*raw_splits["train"], *({"text": text, "label": label} for label in NAMES.values())]
    Dataset.from_list(train).to_json(files["train"])
    run(command_line(flags | {"max_steps": "1"}))
    lines = table(capsys.readouterr().out)
    assert (lines["rows"][0], lines["same text, several labels"][0]) == ("68", "5")
    assert not any(line.startswith("dropped") for line in lines)


def test_two_columns_may_be_a_sentence_pair(run, flags, raw_splits, files, tmp_path):
    for name in raw_splits:
        raw_splits[name].map(lambda row: {"premise": "my neighbour was at home"}).to_json(files[name])
    flags |= {"text_column_names": "premise,text", "num_train_epochs": "1"}
    losses = {}
    for pair in ("true", "false"):
        run(command_line(flags | {"sentence_pair": pair, "output_dir": str(tmp_path / pair)}))
        losses[pair] = json.loads((tmp_path / pair / "all_results.json").read_text())["eval_loss_ce"]
    assert losses["true"] != losses["false"]


def test_training_starts_from_the_seed_alone(run, flags, tmp_path):
    for folder in ("a", "b"):
        run(command_line(flags | {"output_dir": str(tmp_path / folder)}))
        torch.rand(3)
    first, second = (
        AutoModelForSequenceClassification.from_pretrained(tmp_path / folder).state_dict() for folder in ("a", "b")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["learning_rate", "temperature"])
def test_numbers_in_yaml_may_be_written_without_a_point(run, flags, tmp_path, name):
    path = tmp_path / "settings.yaml"
    settings = {flag: flags[flag] for flag in ("model_name_or_path", "train_file", "output_dir")}
    settings |= dict.fromkeys(("do_train", "use_cpu", "disable_tqdm"), True) | {"max_steps": 1}
    path.write_text(yaml.safe_dump(settings) + f"{name}: 2e-1\n")  # a string by the rules of YAML 1.1
    run([str(path)])
    assert f"| {name} | 0.2 |" in (tmp_path / "out" / "README.md").read_text()


def test_a_column_called_sentence_is_found_without_a_flag(run, flags, raw_splits, tmp_path):
    raw_splits["train"].rename_column("text", "sentence").to_json(str(tmp_path / "sentences.jsonl"))
    needed = {name: flags[name] for name in ("model_name_or_path", "output_dir", "do_train", "use_cpu")}
    run(command_line(needed | {"train_file": str(tmp_path / "sentences.jsonl"), "max_steps": "1"}))
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_the_label_column_that_was_named_is_learned_although_another_is_called_label(run, flags, raw_splits, tmp_path):
    for name in raw_splits:
        rows = raw_splits[name].rename_column("label", "feeling")
        path = str(tmp_path / f"two_{name}.jsonl")
        rows.add_column("label", [0] * len(rows)).to_json(path)
        flags[f"{name}_file"] = path
    run(command_line(flags | {"label_column_name": "feeling"}))
    assert [int(row["support"]) for row in csv.DictReader((tmp_path / "out" / "per_class.csv").open())] == [6] * 4


def test_texts_longer_than_the_model_allows_are_cut(run, flags, tmp_path):
    rows = [{"text": "cake " * 200, "label": "glad"}, {"text": "rage " * 200, "label": "angry"}] * 4
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    needed = {name: flags[name] for name in ("model_name_or_path", "output_dir", "do_train", "use_cpu")}
    run(command_line(needed | {"train_file": str(tmp_path / "long.jsonl"), "max_seq_length": "500"}))
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_a_trained_model_is_evaluated_as_it_was_at_the_end_of_training(run, flags, tmp_path):
    run(command_line(flags))
    first = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    again = {name: flags[name] for name in ("validation_file", "do_eval", "use_cpu", "disable_tqdm")}
    run(command_line(again | {"model_name_or_path": str(tmp_path / "out"), "output_dir": str(tmp_path / "again")}))
    second = json.loads((tmp_path / "again" / "all_results.json").read_text())
    names = ("eval_accuracy", "eval_macro_f1", "eval_weighted_f1", "eval_loss_ce")
    assert [second[name] for name in names] == pytest.approx([first[name] for name in names])


def test_second_views_come_from_a_column_that_the_training_file_alone_needs(run, flags, files, raw_splits, tmp_path):
    raw_splits["train"].map(lambda row: {"paraphrase": "today " + row["text"]}).to_json(files["train"])
    views = {"num_views": "2", "view": "column", "view_column": "paraphrase", "logging_steps": "1"}
    run(command_line(flags | views))
    history = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert {line["candidates_per_anchor"] for line in history if "loss" in line} == {31}
