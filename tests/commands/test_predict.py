"""`predict` answers for every text, in its order, whatever else is in the file."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from hf_lcl.__main__ import main


NAMES = ["angry", "annoyed", "glad", "proud"]


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def stdin(monkeypatch):
    """Puts bytes on the standard input."""
    return lambda content: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_the_answers_are_those_of_transformers_in_the_order_of_the_texts(
    plain, files, raw_splits, reader, tmp_path, monkeypatch
):
    monkeypatch.setattr("hf_lcl.commands.predict.BATCHES_AT_ONCE", 3)  # so that there are several chunks
    out = tmp_path / "new" / "out.jsonl"
    main(["predict", str(plain), files["test"], "--output_file", str(out), "--batch_size", "4"])
    found = read_jsonl(out)
    assert [row["text"] for row in found] == raw_splits["test"]["text"]
    assert [row["line"] for row in found] == list(range(1, 25))
    for row in found:
        probabilities = reader(row["text"])
        assert list(row["probabilities"].values()) == pytest.approx(probabilities, abs=1e-5)
        assert list(row["probabilities"]) == NAMES
        assert row["label"] == NAMES[probabilities.index(max(probabilities))]
        assert row["probability"] == max(row["probabilities"].values())
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]


def test_csv_in_and_out(plain, reader, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('title,body\nthe,"cake, Ä\nhome"\na,rage\n', encoding="utf-8")
    main(["predict", str(plain), str(source), "--text_column_names", "title,body", "--output_file", str(out)])
    with open(out, encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["line", "title", "body", "label", "probability", *(f"p({name})" for name in NAMES)]
    assert (first["line"], first["body"], second["line"]) == ("2", "cake, Ä\nhome", "4")
    assert [float(second[f"p({name})"]) for name in NAMES] == pytest.approx(reader("a rage"), abs=1e-5)


def test_two_columns_may_be_a_pair(plain, tokenizer, bert, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"a": "my cake", "b": "the rage"}\n')
    flags = ["--text_column_names", "a,b", "--sentence_pair"]
    main(["predict", str(plain), str(source), "--output_file", str(out), *flags])
    pair = bert.eval()(**tokenizer(["my cake"], ["the rage"], return_tensors="pt")).logits.softmax(dim=1)[0]
    assert list(read_jsonl(out)[0]["probabilities"].values()) == pytest.approx(pair.tolist(), abs=1e-5)


def test_the_standard_input(plain, stdin, capsys):
    stdin("Ärger\nmy cake\n".encode())
    main(["predict", str(plain)])
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["Ärger", "my cake"]
    stdin(b'{"text": "my cake"}\n')
    main(["predict", str(plain), "-", "--input_format", "jsonl"])
    assert json.loads(capsys.readouterr().out)["text"] == "my cake"


BROKEN = b'{"text": "my cake"}\n{"text": \n{"text": null}\n{"text": "the rage"}\n'


def test_a_broken_row_is_told_before_anything_is_predicted(plain, tmp_path, fails):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(BROKEN)
    message = fails(["predict", str(plain), str(source), "--output_file", str(out)])
    assert f"{source}, line 2 is not valid JSON: Expecting value. --skip_bad_rows leaves such rows out." in message
    assert not list(tmp_path.glob("out*"))


def test_broken_rows_may_be_skipped_and_are_counted(plain, tmp_path, caplog, stdin, capsys):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(BROKEN)
    main(["predict", str(plain), str(source), "--output_file", str(out), "--skip_bad_rows"])
    assert [row["line"] for row in read_jsonl(out)] == [1, 4]
    told = [record.getMessage() for record in caplog.records if record.name == "hf_lcl.commands.predict"]
    assert told == [
        f"Skipped: {source}, line 2 is not valid JSON: Expecting value.",
        f"Skipped: {source}, line 3 holds None in column 'text', not a text.",
        f"{source}: 2 of 4 rows were skipped.",
    ]
    stdin(BROKEN)
    main(["predict", str(plain), "--input_format", "jsonl", "--skip_bad_rows"])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert "The standard input: 2 of 4 rows were skipped." in caplog.text


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["none.jsonl"], "none.jsonl does not exist"),
        (["--batch_size", "0"], "batch_size=0 must be at least 1"),
        (["--output_file", "a.xlsx"], "use .csv or .jsonl"),
        (["--sentence_pair"], "needs two columns"),
    ],
)
def test_bad_input_ends_in_one_line(plain, fails, stdin, others, message):
    stdin(b"cake\n")
    assert message in fails(["predict", str(plain), *others])


def test_nothing_to_predict(plain, fails, tmp_path):
    (tmp_path / "in.jsonl").write_text("nonsense\n")
    message = fails(["predict", str(plain), str(tmp_path / "in.jsonl"), "--skip_bad_rows"])
    assert "has no rows that can be read" in message


@pytest.mark.slow
def test_as_a_process(plain, tmp_path):
    """Bytes in, bytes out, whatever the locale; the bar is no part of the output."""
    command = [sys.executable, "-m", "hf_lcl", "predict", str(plain)]
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    good = subprocess.run(command, input="Ärger\n".encode(), capture_output=True, env=environment)
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout.decode("utf-8"))["text"] == "Ärger"
    assert b"predict" in good.stderr
    bad = subprocess.run([*command, "-"], input=b"a\n\xff\n", capture_output=True, env=environment)
    assert bad.returncode == 1
    assert b"error: The standard input, line 2 is not UTF-8 text." in bad.stderr
    assert b"Traceback" not in bad.stderr
