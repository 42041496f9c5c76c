"""`predict` writes a prediction for every text, in the order of the file, whatever its other columns."""

import copy
import csv
import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import BertForSequenceClassification

from hf_lcl.__main__ import main
from hf_lcl.serving.parts import planned


NAMES = ["angry", "annoyed", "glad", "proud"]


def read_jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def stdin(monkeypatch):
    """Puts bytes on the standard input."""
    return lambda content: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_what_was_so_in_the_training_file_is_told_or_asked_for_again(plain, tmp_path, fails, capsys):
    (plain / "settings.yaml").write_text("encoding: cp1252\nskip_bad_rows: true\njson_field: data\n")
    (tmp_path / "t.csv").write_bytes("text\nGrüße\n".encode("cp1252"))
    main(["predict", str(plain), str(tmp_path / "t.csv"), "--output_file", str(tmp_path / "o.csv")])
    assert (tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[1] == "Grüße"
    assert "encoding 'cp1252', as in training; --encoding overrides" in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": ""}\n')
    assert "line 2 holds no text" in fails(["predict", str(plain), str(tmp_path / "bad.jsonl")])


def test_the_answers_are_those_of_transformers_in_the_order_of_the_texts(
    plain, files, raw_splits, reader, tmp_path, monkeypatch
):
    monkeypatch.setattr("hf_lcl.commands.predict.ROWS_AT_ONCE", 10)  # so that there are several chunks
    out = tmp_path / "new" / "out.jsonl"
    main(["predict", "--all_probabilities", str(plain), files["test"], "--output_file", str(out), "--batch_size", "4"])
    found = read_jsonl(out)
    assert [row["text"] for row in found] == raw_splits["test"]["text"]
    assert [row["line"] for row in found] == list(range(1, 25))
    for row in found:
        probabilities = reader(row["text"])
        assert list(row["probabilities"].values()) == pytest.approx(probabilities, abs=1e-5)
        assert list(row["probabilities"]) == NAMES
        assert row["predicted_label"] == NAMES[probabilities.index(max(probabilities))]  # the file has labels
        assert row["probability"] == max(row["probabilities"].values())
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]


def test_csv_in_and_out(plain, reader, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('title,body\nthe,"cake, Ä\nhome"\na,rage\n', encoding="utf-8")
    main(
        [
            "predict",
            "--all_probabilities",
            str(plain),
            str(source),
            "--text_column_names",
            "title,body",
            "--output_file",
            str(out),
        ]
    )
    with open(out, encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["line", "title", "body", "label", "probability", *(f"p({name})" for name in NAMES)]
    assert (first["line"], first["body"], second["line"]) == ("2", "cake, Ä\nhome", "4")
    assert [float(second[f"p({name})"]) for name in NAMES] == pytest.approx(reader("a rage"), abs=1e-5)


@pytest.mark.parametrize("names", [["b.csv", "t.txt"], ["t.txt", "b.csv"]])
def test_the_columns_of_texts_are_those_of_each_file(plain, reader, tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    (plain / "settings.yaml").write_text("text_column_names: body\n")
    (tmp_path / "b.csv").write_text("text,body\nx,my cake\n")
    (tmp_path / "t.txt").write_text("the rage\n")
    main(["predict", str(plain), *names, "--all_probabilities", "--output_file", "out.jsonl"])
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [row["file"] for row in rows] == names
    for row in rows:
        text = {"b.csv": "my cake", "t.txt": "the rage"}[row["file"]]
        assert list(row["probabilities"].values()) == pytest.approx(reader(text), abs=1e-5)


def test_a_txt_file_holds_no_pairs(plain, tmp_path, fails):
    (tmp_path / "t.txt").write_text("the rage\n")
    (plain / "settings.yaml").write_text("text_column_names: a,b\nsentence_pair: true\n")
    assert "t.txt has no text column 'a'; its columns are 'text'." in fails(
        ["predict", str(plain), str(tmp_path / "t.txt")]
    )


def test_two_columns_may_be_a_pair(plain, tokenizer, bert, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"a": "my cake", "b": "the rage"}\n')
    flags = ["--text_column_names", "a,b", "--sentence_pair"]
    main(["predict", "--all_probabilities", str(plain), str(source), "--output_file", str(out), *flags])
    pair = bert.eval()(**tokenizer(["my cake"], ["the rage"], return_tensors="pt")).logits.softmax(dim=1)[0]
    assert list(read_jsonl(out)[0]["probabilities"].values()) == pytest.approx(pair.tolist(), abs=1e-5)


def test_what_stands_between_the_columns_may_be_chosen(plain, reader, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("title,body\ncake,rage\n")
    flags = ["--text_column_names", "title,body", "--text_column_delimiter", " at work "]
    main(["predict", "--all_probabilities", str(plain), str(source), "--output_file", str(out), *flags])
    expected = reader("cake at work rage")
    assert list(read_jsonl(out)[0]["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(reader("cake rage"), abs=1e-3)


def test_long_texts_are_cut_where_asked(plain, reader, tmp_path, caplog):
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("my cake the rage at work\n")
    main(
        ["predict", "--all_probabilities", str(plain), str(source), "--output_file", str(out), "--max_seq_length", "4"]
    )
    expected = reader("my cake")  # with [CLS] and [SEP], four tokens
    assert list(read_jsonl(out)[0]["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(reader("my cake the rage at work"), abs=1e-3)
    assert "Texts of more than 4 tokens are cut: --max_seq_length." in caplog.text


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
    assert (
        f"{source}: 2 of 4 rows cannot be used: line 2 is not valid JSON: Expecting value; line 3 holds no" in message
    )
    assert message.endswith(" --skip_bad_rows leaves such rows out.")
    assert not list(tmp_path.glob("out*"))


def test_broken_rows_may_be_skipped_and_are_counted(plain, tmp_path, caplog, stdin, capsys):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(BROKEN)
    main(["predict", str(plain), str(source), "--output_file", str(out), "--skip_bad_rows"])
    assert [row["line"] for row in read_jsonl(out)] == [1, 4]
    told = [record.getMessage() for record in caplog.records if record.name == "hf_lcl.data.reading"]
    assert told == [
        f"The file {source}: 2 of 4 rows are left out (1 no valid JSON, 1 no text): line 2 is not valid JSON: "
        "Expecting value; line 3 holds no text in column 'text'."
    ]
    stdin(BROKEN)
    main(["predict", str(plain), "--input_format", "jsonl", "--skip_bad_rows"])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert "The standard input: 2 of 4 rows are left out" in caplog.text


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["none.jsonl"], "none.jsonl does not exist"),
        (["--batch_size", "0"], "--batch_size 0 must be at least 1"),
        (["--output_file", "a.xlsx"], "use .csv or .jsonl"),
        (["--sentence_pair"], "needs two columns"),
        (["--reject_below", "70"], "--reject_below 70 is no probability"),
    ],
)
def test_bad_input_ends_in_one_line(plain, fails, stdin, others, message):
    stdin(b"cake\n")
    assert message in fails(["predict", str(plain), *others])


def test_nothing_to_predict(plain, fails, tmp_path):
    (tmp_path / "in.jsonl").write_text("nonsense\n")
    message = fails(["predict", str(plain), str(tmp_path / "in.jsonl"), "--skip_bad_rows"])
    assert "has no rows that can be used" in message


@pytest.mark.slow
def test_as_a_process(plain, files):
    """
    Input and output are UTF-8 regardless of the locale, without the progress bar. A command that cannot write the
    cache it needs ends with a one-line error.
    """
    commands = f"main(['predict', {str(plain)!r}]); main(['evaluate', {str(plain)!r}, '--test_file={files['test']}'])"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", f"from hf_lcl.__main__ import main; {commands}"],
        input="Ärger\n".encode(),
        capture_output=True,
        env=environment | {"HF_HOME": "/proc/nowhere"},  # not even root may write there
    )
    assert json.loads(ended.stdout.splitlines()[0].decode("utf-8"))["text"] == "Ärger"
    assert b"predict" in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert ended.returncode == 0 or ended.stderr.splitlines()[-1].startswith(b"error: ")


def test_a_byte_that_is_no_text_on_the_standard_input(plain, stdin, fails):
    stdin(b"a\n\xff\n")
    assert "The standard input, line 2 holds the byte 0xFF, which is no utf-8" in fails(["predict", str(plain), "-"])


def test_all_columns_stay_and_ours_give_way_to_those_of_the_input(plain, tmp_path, caplog):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,label,text,p(glad),line\n007,joy,my cake,x,17\n")
    main(["predict", "--all_probabilities", str(plain), str(source), "--output_file", str(out)])
    with open(out, encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert [row[name] for name in ("id", "label", "text", "p(glad)", "line")] == ["007", "joy", "my cake", "x", "17"]
    assert row["predicted_label"] in NAMES
    assert row["predicted_line"] == "2"
    assert float(row["predicted_p(glad)"]) == pytest.approx(
        1 - sum(float(row[f"p({name})"]) for name in NAMES if name != "glad"), abs=1e-5
    )
    assert "label is in the column predicted_label" in caplog.text


def test_no_column_of_json_lines_is_lost_and_each_row_may_have_its_own(plain, tmp_path):
    source, table, out = tmp_path / "in.jsonl", tmp_path / "out.csv", tmp_path / "out.jsonl"
    source.write_text('{"text": "my cake", "tags": ["a", 1]}\n{"text": "the rage", "label": null, "ä": "é"}\n')
    main(["predict", str(plain), str(source), "--output_file", str(out)])
    first, second = read_jsonl(out)
    assert first["tags"] == ["a", 1]
    assert (second["label"], second["ä"]) == (None, "é")
    assert {first["predicted_label"], second["predicted_label"]} <= set(NAMES)
    main(["predict", str(plain), str(source), "--output_file", str(table)])
    with open(table, encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (json.loads(first["tags"]), first["ä"], second["ä"]) == (["a", 1], "", "é")


def test_every_kind_of_line_end_inside_a_text_stays_inside_its_cell(plain, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    texts = ["my\rcake", "my\ncake", "my\r\ncake", '"', "a,b", "\r"]
    source.write_text("".join(json.dumps({"text": f"x{text}"}) + "\n" for text in texts))
    main(["predict", str(plain), str(source), "--output_file", str(out)])
    with open(out, encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file, strict=True)] == [f"x{text}" for text in texts]
    assert out.read_bytes()[-2:] not in (b"\r\n", b"\n\n")
    assert out.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("name", ["OUT.CSV", "out.jsonl"])
def test_bytes_of_parquet_are_written_as_their_text(name, plain, tmp_path):
    source, out = tmp_path / "in.parquet", tmp_path / name
    pq.write_table(pa.table({"text": [b"my cake"], "place": ["café".encode()]}), source)
    main(["predict", str(plain), str(source), "--output_file", str(out)])
    if name == "out.jsonl":
        (row,) = read_jsonl(out)
    else:
        (row,) = csv.DictReader(io.StringIO(out.read_text(encoding="utf-8")))
    assert (row["text"], row["place"]) == ("my cake", "café")


def test_a_byte_of_a_column_beside_the_text_is_named_before_anything_is_written(plain, tmp_path, fails):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes("text,place\nmy cake,here\nrage,caf\xe9\n".encode("cp1252"))
    message = fails(["predict", str(plain), str(source), "--output_file", str(out)])
    assert "in.csv, line 3 holds the byte 0xE9" in message
    assert "in column 'place'" in message
    assert not out.exists()


def test_formulas_are_written_as_they_are_or_safe_for_spreadsheets(plain, tmp_path, fails):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    texts = ["=1+1", "@SUM(A1)", "+cake", "-cake", "my =cake"]
    source.write_text("text\n" + "\n".join(texts) + "\n")
    command = ["predict", str(plain), str(source), "--output_file", str(out)]
    for flags, expected in ([], texts), (["--csv_safe"], [*(f"'{text}" for text in texts[:4]), texts[4]]):
        main([*command, *flags])
        with open(out, encoding="utf-8", newline="") as file:
            assert [row["text"] for row in csv.DictReader(file)] == expected
    assert "--csv_safe changes cells of a csv file" in fails(["predict", str(plain), str(source), "--csv_safe"])


def aliases(source):
    """Other paths to a file: a symlink, a hard link, another spelling and, if permitted, a bind mount."""
    folder = source.parent
    (folder / "link.csv").symlink_to(source)
    (folder / "hard.csv").hardlink_to(source)
    (folder / "sub").mkdir()
    yield from (source, folder / "link.csv", folder / "hard.csv", folder / "sub" / ".." / source.name)
    if subprocess.run(["mount", "--bind", str(folder), str(folder / "sub")], capture_output=True).returncode == 0:
        yield folder / "sub" / source.name
        subprocess.run(["umount", str(folder / "sub")], check=True)


def test_no_input_is_written_over(plain, tmp_path, fails):
    source = tmp_path / "in.csv"
    source.write_text("text,id\nmy cake,1\n")
    for name in aliases(source):
        message = fails(["predict", str(plain), str(source), "--output_file", str(name)])
        assert f"{name} is the file that is read ({source})" in message
        assert source.read_text() == "text,id\nmy cake,1\n"
    message = fails(["evaluate", str(plain), "--test_file", str(source), "--output_file", str(source)])
    assert "writing would destroy it" in message
    config = plain / "config.json"
    message = fails(["evaluate", str(plain), "--test_file", str(source), "--output_file", str(config)])
    assert "writing would destroy it" in message


def test_two_at_once_are_one_after_the_other(plain, tmp_path, fails):
    """The second command starts while the first is running."""
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("my cake\n" * 3)
    command = ["predict", str(plain), str(source), "--output_file", str(out)]
    with planned(out, {}):
        assert "Another process writes into" in fails(command)
    main(command)
    assert [row["text"] for row in read_jsonl(out)] == ["my cake"] * 3
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.jsonl"]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"problem_type": "regression"}, "regression"),
        ({"num_labels": 1}, "regression"),
    ],
)
def test_other_problems_than_one_label_a_text_are_refused(bert_config, tokenizer, tmp_path, fails, settings, kind):
    for name, value in settings.items():
        setattr(bert_config, name, value)
    folder = tmp_path / "model"
    BertForSequenceClassification(bert_config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (tmp_path / "in.csv").write_text("text,label\nmy cake,0\n")
    commands = [["predict", str(folder), str(tmp_path / "in.csv"), f"--output_file={tmp_path / 'out.csv'}"]]
    commands += [[name, str(folder), "--test_file", str(tmp_path / "in.csv")] for name in ("evaluate", "report")]
    for command in commands:
        assert f"{folder} is a model for {kind}" in fails(command)


def test_a_cut_file_of_weights_is_named(plain, tmp_path, fails):
    weights = plain / "model.safetensors"
    (tmp_path / "in.csv").write_text("text,label\nmy cake,glad\n")
    whole = weights.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:size])
        command = ["predict", str(plain), str(tmp_path / "in.csv"), "--output_file", str(tmp_path / "out.csv")]
        assert f"{weights} is cut short or broken" in fails(command)
    assert {path.name for path in tmp_path.iterdir() if "out.csv" in path.name} == set()  # no parts of an output
    assert "is cut short" in fails(["push", str(plain), "me/mine"])


def test_a_tokenizer_with_more_tokens_than_the_model_is_told(plain, tokenizer, tmp_path, fails):
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens(["elephant"])
    larger.save_pretrained(plain)
    (tmp_path / "in.txt").write_text("my cake\nan elephant\n")
    message = fails(["predict", str(plain), str(tmp_path / "in.txt")])
    assert f"token id {len(tokenizer)}, but the model's embedding has {len(tokenizer)} rows" in message


def test_the_likeliest_classes_in_their_order(plain, tmp_path, reader):
    (tmp_path / "in.txt").write_text("a rage\n")
    main(["predict", str(plain), str(tmp_path / "in.txt"), "--output_file", str(tmp_path / "out.jsonl")])
    assert list(read_jsonl(tmp_path / "out.jsonl")[0]) == ["line", "text", "label", "probability"]
    for name, top in (("two.csv", "2"), ("many.jsonl", "9")):
        main(["predict", str(plain), str(tmp_path / "in.txt"), "--output_file", str(tmp_path / name), "--top_k", top])
    expected = sorted(zip(reader("a rage"), NAMES), reverse=True)
    with (tmp_path / "two.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == ["line", "text", "label", "probability", "label_2", "probability_2"]
    assert [row["label"], row["label_2"]] == [name for _, name in expected[:2]]
    (record,) = read_jsonl(tmp_path / "many.jsonl")
    found = [record["probability"], *(record[f"probability_{rank}"] for rank in (2, 3, 4))]
    assert found == pytest.approx([probability for probability, _ in expected], abs=1e-5)


def test_no_class_is_none(plain, fails):
    assert "--top_k 0 leaves no class: use 1 or more." in fails(["predict", str(plain), "in.txt", "--top_k", "0"])


def test_unsure_answers_are_for_a_person(plain, files, tmp_path):
    """In both file formats the decision follows the probability; an input column of that name is kept."""
    table, lines, again = tmp_path / "out.csv", tmp_path / "out.jsonl", tmp_path / "again.csv"
    main(["predict", str(plain), files["test"], "--output_file", str(lines)])
    bar = sorted(row["probability"] for row in read_jsonl(lines))[12]
    for out in (table, lines):
        main(["predict", str(plain), files["test"], "--output_file", str(out), "--reject_below", str(bar)])
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-1] == "decision"
    assert [row["decision"] for row in rows] == [row["decision"] for row in read_jsonl(lines)]
    by_probability = sorted((float(row["probability"]), row["decision"]) for row in rows)
    assert [decision for _, decision in by_probability] == ["review"] * 12 + ["accept"] * 12
    main(["predict", str(plain), str(table), "--output_file", str(again), "--reject_below", "1e-9"])
    with open(again, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["predicted_decision"] for row in rows} == {"accept"}
    assert {row["decision"] for row in rows} == {"review", "accept"}
