"""Flags decide which rows and columns are read, which column is the label, and what the data table shows."""

import json
from collections import Counter

import pytest
from datasets import Dataset

from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.train import ARGUMENTS


CLASSES = ["angry", "annoyed", "glad", "proud"]


def table(printed: str) -> dict[str, list[str]]:
    """The data table that a run has printed, by row name."""
    lines = printed.split("data\n")[1].split("\n\n")[0].splitlines()[1:]
    return {line[:26].strip(): line[26:].split() for line in lines}


def test_a_table_tells_what_the_data_holds(read, raw_splits, tmp_path, capsys):
    test = raw_splits["test"]
    leaked = [{"text": f" {raw_splits['train'][row]['text']}", "label": "glad"} for row in range(3)]
    Dataset.from_list([*test, test[0], *leaked]).to_json(tmp_path / "test.jsonl")
    train = list(raw_splits["train"])
    other = {"text": train[0]["text"], "label": "glad" if train[0]["label"] != "glad" else "proud"}
    Dataset.from_list([*train, other, *train]).to_json(tmp_path / "train.jsonl")
    files = {f"{name}_file": str(tmp_path / f"{name}.jsonl") for name in ("train", "test")}
    read(**files, max_seq_length=8, max_train_samples=65, drop_conflicts="true")
    lines = table(capsys.readouterr().out)
    assert lines["rows"] == ["63", "24", "28"]
    assert sum(int(lines[name][0]) for name in CLASSES) == 63
    assert lines["same text and label again"] == ["0", "0", "1"]
    assert lines["same text, several labels"] == ["0", "0", "0"]
    assert lines["text also in train"] == ["-", "0", "2"]
    assert lines["dropped: max_train_samples"] == ["64", "0", "0"]
    assert lines["dropped: several labels"] == ["2", "0", "0"]
    words = [len(row["text"].split()) for row in raw_splits["validation"]]
    assert lines["too long, cut"][1] == str(sum(count + 2 > 8 for count in words))
    assert lines["tokens, longest"][1] == str(max(words) + 2)


def test_conflicts_stay_where_nobody_asks_to_drop_them(read, raw_splits, tmp_path, capsys):
    text = raw_splits["train"][0]["text"]
    train = [*raw_splits["train"], *({"text": text, "label": label} for label in CLASSES)]
    Dataset.from_list(train).to_json(tmp_path / "train.jsonl")
    read(train_file=tmp_path / "train.jsonl")
    lines = table(capsys.readouterr().out)
    assert (lines["rows"][0], lines["same text, several labels"][0]) == ("68", "5")
    assert not any(line.startswith("dropped") for line in lines)


def test_csv_with_other_column_names_and_id_labels(read, raw_splits, tokenizer, tmp_path):
    ids = {name: str(index + 1) for index, name in enumerate(CLASSES)}
    rows = raw_splits["train"].map(lambda row: {"label": ids[row["label"]]})
    rows = rows.rename_columns({"text": "body", "label": "grade"}).add_column("title", ["the"] * len(rows))
    rows.to_csv(str(tmp_path / "a.csv"), index=False)
    flags = {"text_column_names": "title,body", "label_column_name": "grade", "max_train_samples": 40}
    splits, names, _ = read(train_file=tmp_path / "a.csv", validation_file=None, test_file=None, **flags)
    assert names == ["1", "2", "3", "4"]
    assert len(splits["train"]) == 40
    assert splits["train"][0]["input_ids"] == tokenizer(f"the {raw_splits['train'][0]['text']}")["input_ids"]


def test_two_columns_may_be_a_sentence_pair(read, raw_splits, tokenizer, tmp_path):
    for name in raw_splits:
        raw_splits[name].map(lambda row: {"premise": "my neighbour"}).to_json(tmp_path / f"{name}.jsonl")
    files = {f"{name}_file": str(tmp_path / f"{name}.jsonl") for name in raw_splits}
    text = raw_splits["train"][0]["text"]
    for pair, expected in (("true", tokenizer("my neighbour", text)), ("false", tokenizer(f"my neighbour {text}"))):
        splits, _, _ = read(**files, text_column_names="premise,text", sentence_pair=pair)
        assert {name: splits["train"][0][name] for name in expected} == dict(expected)


def test_a_column_called_sentence_is_found_without_a_flag(read, raw_splits, tmp_path):
    raw_splits["train"].rename_column("text", "sentence").to_json(tmp_path / "a.jsonl")
    splits, _, _ = read(train_file=tmp_path / "a.jsonl", validation_file=None, test_file=None)
    assert len(splits["train"]) == 64


def test_the_label_column_that_was_named_is_learned_although_another_is_called_label(read, raw_splits, tmp_path):
    rows = raw_splits["train"].rename_column("label", "feeling")
    rows.add_column("label", [0] * len(rows)).to_json(tmp_path / "a.jsonl")
    files = {"train_file": tmp_path / "a.jsonl", "validation_file": None, "test_file": None}
    splits, names, _ = read(**files, label_column_name="feeling")
    assert names == CLASSES
    assert Counter(splits["train"]["labels"]) == dict.fromkeys(range(4), 16)


def test_texts_longer_than_the_model_allows_are_cut(read, tmp_path):
    rows = [{"text": "cake " * 200, "label": "glad"}, {"text": "rage " * 200, "label": "angry"}] * 4
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = {"train_file": tmp_path / "long.jsonl", "validation_file": None, "test_file": None}
    splits, _, _ = read(**files, max_seq_length=500)
    assert {len(ids) for ids in splits["train"]["input_ids"]} == {64}


@pytest.mark.parametrize("name", ["learning_rate", "temperature"])
def test_numbers_in_yaml_may_be_written_without_a_point(start, tmp_path, name):
    path = tmp_path / "settings.yaml"
    lines = [f"{flag}: {value}" for flag, value in {**start, "output_dir": tmp_path / "out"}.items()]
    path.write_text("\n".join([*lines, f"{name}: 2e-1"]))  # a string by the rules of YAML 1.1
    assert getattr(parse_arguments(ARGUMENTS, [str(path)])[2], name) == 0.2
