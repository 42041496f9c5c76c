"""Faulty input gives a one-line error that names the place, and no traceback."""

import json
import runpy
import sys

import pytest
from command_line import SCRIPT, command_line

from hf_lcl.commands.exits import one_line_errors


GOOD = [{"text": "cake", "label": "glad"}, {"text": "rage", "label": "angry"}]


def jsonl(*rows) -> str:
    """Rows as the content of a file."""
    return "\n".join(json.dumps(row) for row in rows)


def fails(run, flags) -> str:
    """Runs the script, which fails, and returns its one-line error message."""
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        run(command_line(flags))
    message = str(stopped.value)
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.jsonl", None, ["none.jsonl", "does not exist"]),
        ("train.doc", "x", ["train.doc", "unknown extension", ".jsonl"]),
        ("train.txt", "x", ["no label column", "'label'"]),
        ("empty.jsonl", "", ["empty.jsonl", "is empty"]),
        ("head.csv", "text,label\n", ["head.csv", "no rows"]),
        ("broken.jsonl", jsonl(*GOOD) + '\n{"text": ', ["broken.jsonl", "line 3", "not valid JSON"]),
        (
            "a.jsonl",
            jsonl({"words": "x", "label": "a"}, {"words": "y", "label": "b"}),
            ["'text'", "its columns are 'words', 'label'."],
        ),
        (
            "a.jsonl",
            jsonl({"text": "x", "topic": "a"}, {"text": "y", "topic": "b"}),
            ["no label column 'label'", "'text', 'topic'"],
        ),
        ("a.jsonl", jsonl(*GOOD, {"text": " ", "label": "glad"}), ["a.jsonl, line 3", "no text", "'text'"]),
        ("a.jsonl", jsonl(*GOOD, {"text": None, "label": "glad"}), ["a.jsonl, line 3", "no text", "'text'"]),
        ("a.jsonl", jsonl(*GOOD, {"text": "x", "label": None}), ["a.jsonl, line 3", "no label", "'label'"]),
        ("a.jsonl", jsonl(GOOD[0], GOOD[0]), ["single class", "'glad'"]),
        ("a.jsonl", jsonl({"text": "x", "label": 0.5}, {"text": "y", "label": 1.5}), ["'0.5', '1.5'", "is a float"]),
        (
            "a.jsonl",
            jsonl({"text": "x", "label": ["a", "b"]}, {"text": "y", "label": ["a", "a"]}),
            ["line 2", "'a' stands twice"],
        ),
    ],
)
def test_files(run, flags, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content)
    for other in ("validation_file", "test_file", "do_eval", "do_predict"):
        del flags[other]
    message = fails(run, flags | {"train_file": str(tmp_path / name)})
    assert all(word in message for word in words), message


def test_a_label_that_the_training_file_does_not_have(run, flags, tmp_path):
    (tmp_path / "a.jsonl").write_text(jsonl(*GOOD))
    message = fails(run, flags | {"train_file": str(tmp_path / "a.jsonl")})
    assert "The validation file " in message
    assert "does not occur in the train split; the labels are 'angry', 'glad'" in message


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"alpha": "1.2"}, ["--alpha 1.2", "[0, 1]"]),
        ({"temperature": "0"}, ["--temperature 0.0", "positive"]),
        ({"objective": "mse"}, ["'mse'", "'ce', 'scl', 'lcl'"]),
        ({"pooling": "max"}, ["'max'", "'cls', 'mean', 'last'"]),
        ({"weighting": "oracle"}, ["'oracle'", "'head', 'encoder', 'classifier'"]),
        ({"objective": "lcl", "weighting": "none"}, ["lcl", "weighting"]),
    ],
)
def test_values(run, flags, changed, words):
    message = fails(run, flags | changed)
    assert all(word in message for word in words), message


def test_a_folder_without_a_model(run, flags, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert str(tmp_path / "nothing") in fails(run, flags | {"model_name_or_path": str(tmp_path / "nothing")})


def test_an_output_folder_that_is_a_file(run, flags, tmp_path):
    (tmp_path / "out").write_text("kept")
    assert "is a file: name a folder" in fails(run, flags)
    assert (tmp_path / "out").read_text() == "kept"


def test_a_split_that_is_needed_but_not_given(run, flags):
    del flags["validation_file"]
    assert "No validation split: give --validation_file" in fails(run, flags)


def test_no_data_at_all(run, flags):
    message = fails(run, {name: value for name, value in flags.items() if not name.endswith("_file")})
    assert "--train_file" in message
    assert "--dataset_name" in message


def test_a_settings_file_that_is_missing(run, tmp_path):
    with (
        pytest.raises(SystemExit, match=r"error: The settings file .*none\.yaml cannot be read: .*No such file"),
        one_line_errors(),
    ):
        run([str(tmp_path / "none.yaml")])


def test_the_script_ends_in_one_line_and_no_traceback(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", [str(SCRIPT), *command_line(flags | {"train_file": str(tmp_path / "none.jsonl")})]
    )
    with pytest.raises(SystemExit, match=r"^error: The train file .*none\.jsonl does not exist\.$"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert capsys.readouterr().out == ""


def test_a_validation_file_without_labels(run, flags, tmp_path):
    (tmp_path / "a.jsonl").write_text(jsonl({"text": "cake", "topic": "x"}))
    message = fails(run, flags | {"validation_file": str(tmp_path / "a.jsonl")})
    assert all(word in message for word in ("validation", "'label'", "'text', 'topic'")), message


@pytest.mark.parametrize("name", ["no-such-model", "nobody/no-such-model", "/no/such/folder", "train.jsonl"])
def test_a_name_that_is_no_model(run, flags, tmp_path, name):
    name = flags["train_file"] if name == "train.jsonl" else name
    message = fails(run, flags | {"model_name_or_path": name})
    assert name in message


@pytest.mark.parametrize("weights", [None, b"broken"])
def test_a_model_without_weights_that_can_be_read(run, flags, encoder_folder, weights):
    path = encoder_folder / "model.safetensors"
    path.unlink() if weights is None else path.write_bytes(weights)
    assert str(encoder_folder) in fails(run, flags | {"model_name_or_path": str(encoder_folder)})


def test_a_model_whose_files_do_not_belong_together(run, flags, encoder_folder):
    config = json.loads((encoder_folder / "config.json").read_text())
    (encoder_folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    assert "do not belong together" in fails(run, flags | {"model_name_or_path": str(encoder_folder)})


@pytest.mark.parametrize("flag", ["remove_splits", "train_split_name", "validation_split_name"])
def test_a_split_that_there_is_not(run, flags, flag):
    message = fails(run, flags | {flag: "dev"})
    assert "'dev'" in message
    assert "train, validation, test" in message


def test_conflicts_alone_leave_nothing_to_train_on(run, flags, tmp_path):
    (tmp_path / "a.jsonl").write_text(
        jsonl(*[{"text": "x", "label": label} for label in ("angry", "annoyed", "glad", "proud")])
    )
    message = fails(run, flags | {"train_file": str(tmp_path / "a.jsonl"), "drop_conflicts": "true"})
    assert "drop_conflicts leaves none" in message


def test_a_sentence_pair_of_one_column(run, flags):
    assert "needs two text columns, not text" in fails(run, flags | {"sentence_pair": "true"})


def test_no_rows_left_to_train_on(run, flags):
    assert "--max_train_samples 0" in fails(run, flags | {"max_train_samples": "0"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"output_dir": '),
        ("a.yaml", "output_dir: [out\nb: }"),
        ("a.json", "[]"),
        ("a.yml", "- out"),
        ("a.yaml", ""),
    ],
    ids=["broken_json", "broken_yaml", "list_in_json", "list_in_yaml", "empty_yaml"],
)
def test_a_settings_file_that_holds_no_settings(run, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit, match=rf"^error: .*{name}"), one_line_errors():
        run([str(tmp_path / name)])


def test_a_setting_that_nobody_knows(run, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"model_name_or_path": "x", "output_dir": "x", "temprature": 1}))
    with pytest.raises(SystemExit, match=r"error: .*temprature"), one_line_errors():
        run([str(tmp_path / "a.json")])
