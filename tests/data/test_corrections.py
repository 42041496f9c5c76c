"""Decisions of people about rows, and the corrected file."""

import csv

import pytest

from hf_lcl import encode_labels, load_splits
from hf_lcl.data.corrections import append_correction, apply_corrections, label_of, read_corrections
from hf_lcl.data.formats import Row
from hf_lcl.data.reading import Reader


def corrections(path):
    return read_corrections(path, Reader().rows(path, ["text"], columns=[]))


def rows(*cells):
    for line, (text, label) in enumerate(cells, start=2):
        yield Row(line, {"id": str(line), "text": text, "label": label}), text


def test_corrections_are_rows_that_train_reads(tmp_path):
    path = tmp_path / "corrections.csv"
    assert append_correction(path, ' a "quoted", text ', "glad") == 1
    assert append_correction(path, "two\nlines", "angry", "drop", "7") == 2
    with path.open(newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["text", "label", "decision", "line"]
    assert found == [['a "quoted", text', "glad", "change", ""], ["two\nlines", "angry", "drop", "7"]]
    assert [one[:4] for one in corrections(path)] == [
        ('a "quoted", text', "glad", "change", None),
        ("two\nlines", "angry", "drop", 7),
    ]


@pytest.mark.parametrize(
    ("edited", "encoding"),
    [
        ("text,label\na;b,glad", "utf-8"),  # without a last line end
        ('text;label\n"a;b";glad\n', "utf-8-sig"),  # as spreadsheets write it
        ("label,text\r\nglad,a;b\r\n", "utf-8"),
    ],
)
def test_a_file_that_a_person_edited_takes_further_corrections(tmp_path, edited, encoding):
    path = tmp_path / "corrections.csv"
    path.write_text(edited, encoding=encoding, newline="")
    assert append_correction(path, "caf\u00e9, b", "angry") == 2
    assert [one[:3] for one in corrections(path)] == [("a;b", "glad", "change"), ("caf\u00e9, b", "angry", "change")]


def test_a_file_without_rows_takes_a_correction(tmp_path):
    path = tmp_path / "corrections.csv"
    path.write_text("text,label,decision,line\n")
    assert append_correction(path, "a", "glad") == 1
    assert [one[:3] for one in corrections(path)] == [("a", "glad", "change")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\ncaf\u00e9,glad\n", "line 2 holds the byte 0xE9"),
        ("text,label\na,glad,b\n", "line 2 has 3 cells"),
        ("text,klass\na,glad\n", "has no column 'label': name another file by --corrections"),
    ],
)
def test_a_file_that_cannot_be_read_is_left_as_it_was(tmp_path, content, message):
    path = tmp_path / "corrections.csv"
    path.write_text(content, encoding="cp1252")
    with pytest.raises(ValueError, match=message):
        append_correction(path, "b", "angry")
    assert path.read_text(encoding="cp1252") == content


def test_an_older_file_takes_changes_alone(tmp_path):
    path = tmp_path / "corrections.csv"
    path.write_text("text,label\na,glad\n")
    assert append_correction(path, "b", "angry") == 2
    assert path.read_text().splitlines()[-1] == "b,angry"
    with pytest.raises(ValueError, match="has no column 'decision': name another file"):
        append_correction(path, "c", "angry", "keep")
    assert path.read_text().splitlines()[-1] == "b,angry"


def test_the_last_decision_counts_and_one_on_a_line_before_one_on_a_text(tmp_path):
    path = tmp_path / "corrections.csv"
    append_correction(path, "same", "glad")
    append_correction(path, "same", "proud")
    append_correction(path, "same", "", "drop", "3")
    append_correction(path, "kept", "angry", "keep", "4")
    append_correction(path, "new", "glad")
    table = rows(("same", "angry"), (" same ", "angry"), ("kept", "angry"), ("other", "glad"))
    found, counts = apply_corrections(table, corrections(path), "text", "label")
    assert found == [
        {"id": "2", "text": "same", "label": "proud"},
        {"id": "4", "text": "kept", "label": "angry"},
        {"id": "5", "text": "other", "label": "glad"},
        {"text": "new", "label": "glad"},
    ]
    assert counts == {"changed": 1, "dropped": 1, "added": 1}


def test_a_list_changes_to_what_is_suggested_and_leaves_what_is_undecided(tmp_path):
    path = tmp_path / "audit.csv"
    path.write_text("line,text,label,suggested,decision\n2,a,x,y,Change\n3,b,x,y,\n4,c,x,y, drop \n")
    found, counts = apply_corrections(rows(("a", "x"), ("b", "x"), ("c", "x")), corrections(path), "text", "label")
    assert [row["label"] for row in found] == ["y", "x"]
    assert counts == {"changed": 1, "dropped": 1, "added": 0}


def test_spaces_around_a_label_make_another_class_as_in_training_and_are_corrected(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\na,sad\nb,sad \nc,glad\n")
    labelled = list(Reader().rows(path))
    assert (
        {label_of(row, "label") for row in labelled}
        == {*encode_labels(load_splits(path))[1]}
        == {"sad", "sad ", "glad"}
    )
    append_correction(tmp_path / "corrections.csv", "b", "sad")
    texts = ((row, row.texts[0]) for row in labelled)
    found, counts = apply_corrections(texts, corrections(tmp_path / "corrections.csv"), "text", "label")
    assert [row["label"] for row in found] == ["sad", "sad", "glad"]
    assert counts["changed"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,klass\na,x\n", "has no column 'label': give a corrections.csv"),
        ("line,text,label,suggested\n2,a,x,y\n", "has no column 'decision'"),
        ("text,label,decision\na,x,delete\n", "line 2: the decision 'delete' is none of keep, change, drop"),
        ("line,text,label,suggested,decision\n2,a,x,,change\n", "line 2: change to what\\? Its column 'suggested'"),
        ("line,text,label,suggested,decision\ntwo,a,x,y,drop\n", "line 2: 'two' in the column 'line' is no line"),
        ("line,text,label,suggested,decision\n2,b,x,y,drop\n", "line 2: line 2 now holds another text, 'a'"),
        ("line,text,label,suggested,decision\n9,b,x,y,drop\n", "line 2: the file has no line 9"),
    ],
)
def test_what_cannot_be_applied_is_named(tmp_path, content, message):
    path = tmp_path / "decisions.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        apply_corrections(rows(("a", "x")), corrections(path), "text", "label")
