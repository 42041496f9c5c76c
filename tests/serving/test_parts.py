"""A table written in parts equals the whole table, in every format and after killed runs."""

import csv
import gzip
import io
import json
import math
import resource
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hf_lcl.serving.parts import PartedTable, parts_folder, planned


ROWS = [{"line": number, "text": f"text {number}", "tags": ["a", number]} for number in range(7)]
COLUMNS = ["line", "text", "tags"]


def written(path: Path, columns=COLUMNS, *parts) -> Path:
    """A table merged from these parts."""
    table = PartedTable(path, columns)
    with planned(path, {}):
        for index in reversed(range(len(parts))):  # the order in which they are finished does not matter
            table.write(index, parts[index])
        table.merge(len(parts))
    assert [path] == list(path.parent.iterdir())
    return path


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.csv.gz", "OUT.JSONL.GZ", "out.parquet"])
def test_the_parts_are_put_together_in_their_order(tmp_path, name):
    path = written(tmp_path / name, COLUMNS, ROWS[:3], [], ROWS[3:6], ROWS[6:])
    content = path.read_bytes()
    if name.lower().endswith(".gz"):
        content = gzip.decompress(content)
    if "csv" in name:
        found = list(csv.DictReader(io.StringIO(content.decode())))
        found = [{**row, "line": int(row["line"]), "tags": json.loads(row["tags"])} for row in found]
    elif name == "out.parquet":
        found = pq.read_table(path).to_pylist()
        found = [row | {"tags": json.loads(row["tags"])} for row in found]  # a list of mixed types is JSON in parquet
    else:
        found = [json.loads(line) for line in content.decode().splitlines()]
    assert found == ROWS


def test_columns_of_parquet_keep_their_types_and_become_text_where_they_differ(tmp_path):
    first = [{"a": 1, "b": None, "c": 1, "d": date(2026, 1, 2), "e": b"x", "f": {"x": 1}}]
    second = [{"a": 2.5, "b": "x", "c": "one", "d": None, "e": b"y", "f": [1]}]
    rows = pq.read_table(written(tmp_path / "out.parquet", [*"abcdef"], first, second)).to_pylist()
    assert rows == [
        {"a": 1.0, "b": None, "c": "1", "d": date(2026, 1, 2), "e": b"x", "f": '{"x": 1}'},
        {"a": 2.5, "b": "x", "c": "one", "d": None, "e": b"y", "f": "[1]"},
    ]


def test_what_parquet_cannot_hold_becomes_text(tmp_path):
    first = [{"a": {}, "b": 2**64 - 1, "c": 2**60 + 1, "d": {"x": {}}}]
    second = [{"a": {}, "b": 1, "c": 0.5, "d": {"x": {}}}]
    rows = pq.read_table(written(tmp_path / "out.parquet", [*"abcd"], first, second)).to_pylist()
    assert rows == [
        {"a": "{}", "b": str(2**64 - 1), "c": str(2**60 + 1), "d": '{"x": {}}'},
        {"a": "{}", "b": "1", "c": "0.5", "d": '{"x": {}}'},
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_dates_in_lists_and_numbers_that_are_none(tmp_path, kind):
    path = written(tmp_path / f"out.{kind}", ["when", "score"], [{"when": [date(2026, 1, 2)], "score": math.nan}])
    line = path.read_text().splitlines()[-1]
    if kind == "csv":
        assert line.startswith('"[""2026-01-02""]",')
    else:
        assert json.loads(line, parse_constant=pytest.fail) == {"when": ["2026-01-02"], "score": None}


def test_json_lines_have_null_for_numbers_that_json_lacks(tmp_path):
    row = {"a": math.inf, "b": [1.5, math.nan, {"c": -math.inf}], "d": {"e": (math.nan, "NaN")}}
    line = written(tmp_path / "out.jsonl", [*"abd"], [row]).read_text()
    expected = {"a": None, "b": [1.5, None, {"c": None}], "d": {"e": [None, "NaN"]}}
    assert json.loads(line, parse_constant=pytest.fail) == expected


def test_long_names_of_letters_of_several_bytes_have_parts_and_no_two_share_them(tmp_path):
    paths = [tmp_path / f"{'語' * 80}.csv", tmp_path / f"{'x' * 240}.csv", tmp_path / f"{'x' * 240}.jsonl"]
    for path in paths:
        assert len(written(path, COLUMNS, ROWS).read_text().splitlines()) >= len(ROWS)
        path.unlink()
    assert len({parts_folder(path) for path in paths}) == 3


def test_parts_of_the_same_plan_are_kept_and_others_are_not(tmp_path):
    path = tmp_path / "out.csv"
    table = PartedTable(path, COLUMNS)
    for plan, kept in (({"a": 1}, False), ({"a": 1}, True), ({"a": 2}, False)):
        with planned(path, plan):
            assert table.part(0).exists() == kept
            table.write(0, ROWS)
    with planned(path, {}, resumes=False):
        table.write(0, ROWS)
    assert not parts_folder(path).exists()


def test_a_merge_that_ends_early_leaves_what_was_there_and_all_parts(tmp_path):
    """Here a file size limit stops it, which is smaller than all parts together."""
    path, rows = tmp_path / "out.csv", [{"line": number, "text": "x" * 1000} for number in range(20)]
    path.write_text("as before")
    table = PartedTable(path, ["line", "text"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with planned(path, {}):
        table.write(0, rows)
        table.write(1, rows)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                table.merge(2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "as before"
    assert {file.name for file in tmp_path.iterdir()} == {"out.csv", parts_folder(path).name}
    with planned(path, {}):
        table.merge(2)
    assert len(path.read_text().splitlines()) == 41
