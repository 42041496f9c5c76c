"""Rows of a file or a stream one by one, with their line numbers; what is broken in one does not hide the others."""

import csv
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from .reading import load_splits


FORMATS = ("txt", "jsonl", "json", "csv", "parquet")
STREAM_FORMATS = ("txt", "jsonl", "csv")


class Row(NamedTuple):
    """
    A row of a file.

    Args:
        line (`int`): the line on which it begins, from 1; in a parquet file or a JSON list, its number.
        values (`dict[str, Any]`, *optional*): column to value.
        texts (`tuple[str, ...]`): those of the text columns; empty in a broken row.
        fault (`str`, *optional*): what is wrong with a broken one.
    """

    line: int
    values: dict[str, Any] | None = None
    texts: tuple[str, ...] = ()
    fault: str | None = None


def read_rows(source: str, columns: list[str] | None = None, stream_format: str = "txt") -> Iterator[Row]:
    """
    Yields the rows of a file, each checked to have a text in every text column.

    Args:
        source (`str`): a txt (one text a line), csv, json, jsonl or parquet file; all but parquet may be gzipped.
            `"-"` is the standard input.
        columns (`list[str]`, *optional*): columns of texts; defaults to `text`, or `sentence` where a row has no
            `text`. A txt file has the column `text`.
        stream_format (`str`, *optional*, defaults to `"txt"`): what the standard input holds: txt, jsonl or csv.

    Raises:
        ValueError: for a file that is missing, of an unknown kind, or cannot be read as a whole.

    Example:

    ```python
    >>> from hf_lcl.data.rows import read_rows

    >>> row = next(read_rows("examples/data/feelings_test.jsonl"))
    >>> row.line, list(row.values)
    (1, ['text'])
    ```
    """
    if source == "-":
        yield from _checked(_parsed(sys.stdin.buffer, stream_format), columns)
        return
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"The file {path} does not exist.")
    suffix = Path(path.name.removesuffix(".gz")).suffix.removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(
            f"The file {path} has an unknown extension: use one of {', '.join(FORMATS)} (.gz may follow all but "
            "parquet)."
        )
    if suffix == "parquet":
        rows = enumerate(load_splits({"test": path})["test"], start=1)
        yield from _checked((Row(number, values) for number, values in rows), columns)
        return
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            yield from _checked(_parsed(file, suffix), columns)
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"The file {path} cannot be read: {error}") from error


def _parsed(file: IO[bytes], kind: str) -> Iterator[Row]:
    # Bytes that are no UTF-8 become surrogates, which no text can hold: the row is found out later.
    lines = (line.decode("utf-8", errors="surrogateescape") for line in file)
    first = next(lines, "").removeprefix("\ufeff")
    lines = (line for part in ([first] if first else [], lines) for line in part)
    if kind == "csv":
        yield from _csv_rows(lines)
    elif kind == "json" and first.lstrip().startswith("["):
        try:
            values = json.loads("".join(lines))
        except json.JSONDecodeError as error:
            raise ValueError(f"The file is no valid JSON list: {error}") from error
        yield from (_object(number, value) for number, value in enumerate(values, start=1))
    else:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if kind == "txt":
                yield Row(number, {"text": text})
            elif text.strip():
                yield _json_row(number, text)


def _csv_rows(lines: Iterator[str]) -> Iterator[Row]:
    reader = csv.reader(lines)
    header = next(reader, [])
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Row(line, fault=f"is no valid CSV: {error}")
            continue
        if cells is None:
            return
        if len(cells) == len(header):
            yield Row(line, dict(zip(header, cells)))
        elif cells:
            yield Row(line, fault=f"has {len(cells)} cells, not {len(header)} as the first line")


def _json_row(number: int, text: str) -> Row:
    try:
        return _object(number, json.loads(text))
    except json.JSONDecodeError as error:
        return Row(number, fault=f"is not valid JSON: {error.msg}")


def _object(number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    return Row(number, fault='is not an object such as {"text": ...}')


def _checked(rows: Iterator[Row], columns: list[str] | None) -> Iterator[Row]:
    """The text columns of each row; rows without a text in each of them are broken, too."""
    for row in rows:
        if row.fault is not None:
            yield row
            continue
        has_sentence = "sentence" in row.values and "text" not in row.values
        texts = {name: row.values.get(name) for name in columns or ["sentence" if has_sentence else "text"]}
        faults = [_fault_of_text(name, text, row.values) for name, text in texts.items()]
        fault = next((fault for fault in faults if fault is not None), None)
        yield row._replace(texts=tuple(texts.values())) if fault is None else Row(row.line, fault=fault)


def _fault_of_text(column: str, text: Any, values: dict[str, Any]) -> str | None:
    if column not in values:
        return f"has no column {column!r}; its columns are {', '.join(values)}"
    if not isinstance(text, str):
        return f"holds {text!r} in column {column!r}, not a text"
    if not text.strip():
        return f"holds no text in column {column!r}"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    return None
