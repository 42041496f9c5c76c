"""Errors in a command line are reported in one line, before any work, with exit status 2."""

import json
from pathlib import Path

import pytest

from hf_lcl.__main__ import main
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.train import ARGUMENTS


TEXTS = Path(__file__).parents[2] / "examples" / "data" / "feelings_test.jsonl"


@pytest.fixture
def refused(capsys):
    """Runs a wrong command line, and returns its one-line error message."""

    def refuse(*argv: str, status: int = 2) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(argv))
        line = str(ended.value)
        captured = capsys.readouterr()
        assert captured.err.splitlines()[-1] == line
        assert (ended.value.code, captured.out) == (status, "")
        return line.removeprefix("error: ")

    return refuse


def test_all_that_is_wrong_is_told_together(refused, start):
    told = refused(
        *("train", start["train_file"], "--learnig_rate", "1e-4", "--alpha=2", "--num_train_epochs", "many"),
        *("--test_file", "nowhere.csv", "--text_column_names", "txt", "--label_column_name", "lable"),
        *("--queue_size", "9", "--max_seq_length", "0", "--lr_scheduler_kwargs", "{bad"),
    )
    for words in (
        "--learnig_rate is no flag of this command. Did you mean --learning_rate? See --help.",
        "--alpha 2.0 must be a number in [0, 1]",
        "--num_train_epochs: invalid float value: 'many'.",
        "queue_size was removed: use a larger --per_device_train_batch_size",
        "--max_seq_length 0 leaves no text",
        "--lr_scheduler_kwargs {bad is no JSON",
    ):
        assert told.count(words) == 1, told
    assert "1e-4" not in told  # the value of a flag that is unknown


def test_files_and_columns_are_looked_at_before_any_work(refused, start):
    told = refused(
        *("train", start["train_file"], "--test_file", "nowhere.csv", "--alpha", "2"),
        *("--text_column_names", "txt", "--label_column_name", "Lable"),
    )
    for words in (
        "--alpha 2.0 must be a number in",
        f"The train file {start['train_file']} has no text column 'txt'; its columns are 'text', 'label'. Did you",
        "has no label column 'Lable'; its columns are 'text', 'label'. Did you mean label? Name it with --label_col",
        "The test file nowhere.csv does not exist.",
    ):
        assert words in told, told


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gradient_accumulation_steps", "0"], "--gradient_accumulation_steps 0 must be at least 1."),
        (["--label_names", "foo"], "--label_names ['foo'] would hide the labels: leave it out"),
        (["--torch_compile_backend", "nope"], "--torch_compile_backend 'nope' is unknown: use one of 'aot_eager', "),
        (["--lr_scheduler_kwargs", "{bad"], "write it like '{\"num_cycles\": 2}'."),
        (["--gradient-checkpointing-kwargs={bad"], "--gradient-checkpointing-kwargs {bad is no JSON"),
        (["--num_train", "3"], "--num_train is no flag of this command."),
        (["stray"], "stray stands alone: put the name of a flag before it."),
        (["--report_to", "nowhere"], "--report_to nowhere is unknown"),
        (["--model_name_or_path", "nowhere"], "No model can be loaded from nowhere"),
    ],
)
def test_values_that_would_fail_later(refused, start, tmp_path, flags, words):
    assert words in refused("train", f"--train_file={start['train_file']}", f"--output_dir={tmp_path / 'out'}", *flags)


@pytest.mark.parametrize("is_in_settings", [False, True])
def test_a_brace_begins_an_object_only_where_one_may_stand(start, tmp_path, is_in_settings):
    values = {"output_dir": str(tmp_path), "widget_texts": ["{name}, hello"], "text_column_names": "{body}"}
    (tmp_path / "s.json").write_text(json.dumps(values | {"lr_scheduler_kwargs": '{"num_cycles": 2}'}))
    argv = [
        word
        for name, value in values.items()
        for word in (f"--{name}", *([value] if isinstance(value, str) else value))
    ]
    argv = [str(tmp_path / "s.json")] if is_in_settings else [*argv, "--lr_scheduler_kwargs", '{"num_cycles": 2}']
    _, data_args, training_args = parse_arguments(
        ARGUMENTS, [*argv, "--model_name_or_path", start["model_name_or_path"]]
    )
    assert (data_args.widget_texts, data_args.text_column_names) == (["{name}, hello"], "{body}")
    assert training_args.lr_scheduler_kwargs == {"num_cycles": 2}


def test_columns_that_cannot_be_told(refused, tmp_path):
    (tmp_path / "numbers.csv").write_text("a,b\n1,2\n3,4\n")
    assert "has no column that looks like texts" in refused("train", str(tmp_path / "numbers.csv"))


@pytest.mark.parametrize("command", ["train", "search", "compare"])
@pytest.mark.parametrize(
    "content", ['{"text": {"0": "my cake"}, "label": {"0": "glad"}}', '{"text": ["a"], "label": ["x"]}']
)
def test_a_json_file_of_columns_is_told_how_rows_are_written(refused, tmp_path, command, content):
    (tmp_path / "t.json").write_text(content)
    told = refused(command, str(tmp_path / "t.json"))
    assert told.startswith(f"The train file {tmp_path / 't.json'} is one object of 'text'")
    assert "orient='records', lines=True" in told


def test_a_json_file_of_a_single_row_is_no_file_of_settings(refused, tmp_path):
    (tmp_path / "t.json").write_text('{"text": "my cake", "label": "glad"}')
    assert "t.json has a single class, 'glad'" in refused("train", str(tmp_path / "t.json"), status=1)


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text,label\n"), ("b.csv", "a,b\n"), ("c.json", "[]")])
def test_a_file_without_rows(refused, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert refused("train", str(tmp_path / name)) == f"The file {tmp_path / name} has no rows."


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["predict"], "the following arguments are required: MODEL"),
        (
            ["predict", "out", "--top_k", "two", "--csv_save"],
            "--top_k: invalid int value: 'two'. --csv_save is no flag",
        ),
        (["predict", "out", "--top_k", "0"], "--top_k 0 leaves no class"),
        (["predict", "out", "--output_file", "a.xls"], "unknown extension: use .csv or .jsonl"),
        (["evaluate", "out", "--test_fiel", "x"], "Did you mean --test_file?"),
        (["evaluate", "out", "--batch", "4"], "--batch is no flag of this command. Did you mean --batch_size?"),
        (["evaluate", "out", "--batch_size", "0"], "--batch_size 0 must be at least 1"),
        (["push", "out"], "required: USER/NAME"),
        (["calibrate", "out"], "give --out_of_scope keep=0.95"),
        (["export", "nowhere", "graph"], "nowhere is no folder"),
        (["report", "nowhere", "--test_file", str(TEXTS)], "nowhere holds no model"),
        (["calibrate", "nowhere", "--out_of_scope", "none"], "nowhere holds no model"),
        (["push", "nowhere", "me/my-classifier"], "nowhere holds no model"),
        (["export", str(TEXTS.parent), "graph", "--check_file", "none.csv"], "file none.csv does not exist"),
        (["evaluate", "out", "--output_file", str(TEXTS.parent)], "is a folder: name a file in it"),
        (["evaluate", "out", "--test_file", str(TEXTS), "--output_file", str(TEXTS)], "is the file that is read"),
        (["demo", "out", "--port", "99999999"], "--port 99999999 is no port: use 7860"),
    ],
)
def test_other_commands(refused, argv, words):
    assert words in refused(*argv)


MESSAGES = {
    "apply c.csv t.csv --output_file n.csv": "(--corrections_encoding 'cp1252' may read it), in column 'text'.",
    "audit c.csv": "(--encoding 'cp1252' may read it), in column 'text'. --skip_bad_rows leaves such rows out.",
    "predict out c.csv --text_column_names t": "its columns are 'text', 'label'. Name it with --text_column_names.",
    "predict out rows.json": ": --json_field 'data' reads the rows of that field.",
    "train t.csv": "gives none): add texts, or give a validation file, or --validation_split 0.3.",
    "train t.csv --validation_split 0.7": "must be above 0 and at most 0.5: write --validation_split 0.1.",
    "train t.csv --label_columns a b --label_delimiter |": "--label_columns and --label_delimiter are two ways",
    "train runs/seed=1/t.csv": "The train file runs/seed=1/t.csv does not exist.",
    "audit t.csv --text_column_names text,text": "--text_column_names 'text,text' names a column twice",
}


@pytest.mark.parametrize("command", MESSAGES)
def test_settings_are_called_by_their_flags(fails, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("text,label\na,x\nb,y\n")
    Path("c.csv").write_text("text,label\ncaf\u00e9,x\n", encoding="cp1252")
    Path("rows.json").write_text('{"data": [{"text": "a", "label": "x"}], "version": "1"}')
    assert MESSAGES[command] in fails(command.split())


def test_what_fails_at_work_has_another_status(refused, start, tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"my text no {i},{'ab'[i % 2]}\n" for i in range(9)) + ",a\n"
    )
    assert "line 11 holds no text" in refused("train", str(tmp_path / "a.csv"), "--do_train", status=1)
