"""Rows of every kind of file, with their lines; what is broken in one row does not hide the others."""

import gzip
import io
import json

import pytest
from datasets import Dataset

from hf_lcl.data.rows import read_rows


GOOD = [{"text": 'Ärger, "viel"\nÄrger', "n": 1}, {"text": "日本", "n": 2}]


def good(rows):
    return [(row.line, row.values["text"]) for row in rows if row.fault is None]


def faults(rows):
    return {row.line: row.fault for row in rows if row.fault is not None}


def as_csv(rows):
    lines = ["text,n"] + ['"' + row["text"].replace('"', '""') + f'",{row["n"]}' for row in rows]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("suffix", "content", "lines"),
    [
        (".jsonl", "\n".join(map(json.dumps, GOOD)).encode() + b"\n\n", [1, 2]),
        (".json", "\n".join(map(json.dumps, GOOD)).encode(), [1, 2]),
        (".json", json.dumps(GOOD, indent=1, ensure_ascii=False).encode(), [1, 2]),
        (".csv", as_csv(GOOD), [2, 4]),
        (".csv", b"\xef\xbb\xbf" + as_csv(GOOD).replace(b"\n", b"\r\n"), [2, 4]),
    ],
)
def test_every_kind_of_file(tmp_path, suffix, content, lines, zipped):
    path = tmp_path / f"a{suffix}{'.gz' * zipped}"
    path.write_bytes(gzip.compress(content) if zipped else content)
    found = good(read_rows(str(path)))
    assert [line for line, _ in found] == lines
    assert [text.replace("\r\n", "\n") for _, text in found] == [row["text"] for row in GOOD]


def test_plain_text_and_parquet(tmp_path):
    (tmp_path / "a.txt").write_bytes("eins\r\nzwei Ä\ndrei".encode())
    assert good(read_rows(str(tmp_path / "a.txt"))) == [(1, "eins"), (2, "zwei Ä"), (3, "drei")]
    Dataset.from_list([*GOOD, {"text": None, "n": 3}]).to_parquet(tmp_path / "a.parquet")
    rows = list(read_rows(str(tmp_path / "a.parquet")))
    assert good(rows) == [(1, GOOD[0]["text"]), (2, GOOD[1]["text"])]
    assert faults(rows) == {3: "holds None in column 'text', not a text"}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": \n[1]\n{"label": "b"}\n{"text": 5}\n{"text": " "}\n{"text": "\xff"}\n'
            b'{"text": "z"}\n',
            {
                2: "is not valid JSON: Expecting value",
                3: 'is not an object such as {"text": ...}',
                4: "has no column 'text'; its columns are label",
                5: "holds 5 in column 'text', not a text",
                6: "holds no text in column 'text'",
                7: "is not UTF-8 text",
            },
        ),
        (
            "a.csv",
            b'text,n\na,1\nb\n"c\nd",2,3\n,4\n\xff,5\nz,6\n',
            {
                3: "has 1 cells, not 2 as the first line",
                4: "has 3 cells, not 2 as the first line",
                6: "holds no text in column 'text'",
                7: "is not UTF-8 text",
            },
        ),
        ("a.txt", b"a\n\n\xff\nz\n", {2: "holds no text in column 'text'", 3: "is not UTF-8 text"}),
        ("a.json", b'[{"text": "a"}, 7, {"text": "z"}]', {2: 'is not an object such as {"text": ...}'}),
    ],
)
def test_broken_rows_are_told_by_their_line(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    rows = list(read_rows(str(tmp_path / name)))
    assert faults(rows) == expected
    assert [text for _, text in good(rows)] == ["a", "z"]


def test_columns(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"sentence": "a", "title": "b"}\n')
    path = str(tmp_path / "a.jsonl")
    assert [row.texts for row in read_rows(path)] == [("a",)]
    assert [row.texts for row in read_rows(path, ["title", "sentence"])] == [("b", "a")]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"text\na\n")))
    assert [row.values for row in read_rows("-", stream_format="csv")] == [{"text": "a"}]


def test_files_that_cannot_be_read_as_a_whole(tmp_path):
    for name, content, message in (
        ("none.jsonl", None, "does not exist"),
        ("a.xlsx", b"", "unknown extension: use one of txt, jsonl"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.json", b'[{"text": "a"},', "is no valid JSON list"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            list(read_rows(str(tmp_path / name)))
