"""Bytes of every kind of file to rows with their lines; what is broken in one row does not hide the others."""

import csv
import io
import json
import re
import reprlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from datasets import ClassLabel, Features


DELIMITERS = ",;\t|"
FASTTEXT = "__label__"
PEEKED_ROWS = 1000  # JSON rows whose keys are taken for the columns of the file
PARQUET_ROWS = 1000  # rows that are held at a time

csv.field_size_limit(2**31 - 1)  # a cell may be a book; the module's own limit is 131,072 characters


class Row(NamedTuple):
    """
    A row of a file.

    Args:
        line (`int`): the line of the file on which it begins, from 1; in a parquet file its number.
        values (`dict[str, Any]`): column to what stands there: strings in text files, else as JSON or parquet has it.
        texts (`tuple[str, ...]`): those of the text columns, in their order, once they were checked.
        fault (`tuple[str, str]`, *optional*): what is wrong with the row: the kind of fault, and its words.
    """

    line: int
    values: dict[str, Any]
    texts: tuple[str, ...] = ()
    fault: tuple[str, str] | None = None


class Table(NamedTuple):
    """
    The rows of a file as they are read.

    Args:
        columns (`list[str]`): names of all columns.
        rows (`Iterator[Row]`): one by one.
        classes (`dict[str, ClassLabel]`, *optional*): of a parquet file that knows the names of its class ids.
        shape (`str`): of a JSON file whose first object may hold the rows in a field.
        delimiter (`str`): of a csv or tsv file.
    """

    columns: list[str]
    rows: Iterator[Row]
    classes: dict[str, ClassLabel] | None = None
    shape: str = ""
    delimiter: str = ""


class UnreadableError(ValueError):
    """What is wrong with a file as a whole: what follows its name in a message."""


def listed(values: Any, limit: int = 20) -> str:
    """Values for a message of one line: `'a', 'b' and 9,980 more`."""
    values = list(values)
    more = f" and {len(values) - limit:,} more" if len(values) > limit else ""
    return ", ".join(map(repr, values[:limit])) + more


# Text files: lines as Python decodes them, with their ends


def txt_table(lines: Iterator[str]) -> Table:
    """One text a line, or fastText's `__label__name text`."""
    first, lines = _begin(lines)
    numbered = enumerate(lines, start=1)
    if not first.startswith(FASTTEXT):
        return Table(["text"], (Row(number, {"text": line.rstrip("\r\n")}) for number, line in numbered))
    return Table(["text", "label"], (_fasttext_row(number, line) for number, line in numbered if line.strip()))


def _begin(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """The first line that is not blank, and all lines."""
    begin = []
    for line in lines:
        begin.append(line)
        if line.strip():
            break
    return "".join(begin[-1:]).strip(), chain(begin, lines)


def _fasttext_row(number: int, line: str) -> Row:
    labels = list(takewhile(lambda word: word.startswith(FASTTEXT), line.split()))
    names = [label.removeprefix(FASTTEXT) for label in labels]
    if not names:
        return Row(number, {}, fault=("no label", f"does not begin with {FASTTEXT}NAME as the lines before it"))
    text = [*line.strip().split(maxsplit=len(labels)), ""][len(labels)]
    return Row(number, {"text": text, "label": names[0] if len(names) == 1 else names})


def csv_table(lines: Iterator[str], delimiter: str | None = None, usual: str = ",") -> Table:
    """
    A first line of column names, then one row each.

    Args:
        lines (`Iterator[str]`): of the file.
        delimiter (`str`, *optional*): between cells; default: what makes most cells of the first line.
        usual (`str`, *optional*, defaults to a comma): which one it is where several make as many.
    """
    first, lines = _begin(lines)
    if delimiter is None:
        cells = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in DELIMITERS}
        delimiter = max(DELIMITERS, key=lambda mark: (cells[mark], mark == usual))
    records = _csv_records(lines, delimiter)
    number, header, fault = next((record for record in records if record[1] or record[2]), (1, [], None))
    if fault is not None:
        raise UnreadableError(f", line {number}, the names of the columns, {fault[1]}")
    columns = [name.strip() for name in header]
    return Table(columns, _csv_rows(records, columns), delimiter=delimiter)


def _csv_rows(records: Iterator[tuple[int, list[str], tuple[str, str] | None]], columns: list[str]) -> Iterator[Row]:
    for number, cells, fault in records:
        if fault is not None:
            yield Row(number, {}, fault=fault)
        elif len(cells) == len(columns):
            # As in files that were joined by `cat`.
            again = len(columns) > 1 and [cell.strip() for cell in cells] == columns
            fault = ("the header again", "is the header once more") if again else None
            yield Row(number, dict(zip(columns, cells)), fault=fault)
        elif len(cells) > 1 or (cells and cells[0].strip()):
            detail = f"has {len(cells)} cell{'s' * (len(cells) > 1)}, but the header {len(columns)}"
            yield Row(number, {}, fault=("another number of cells than the header", detail))


def _csv_records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str], tuple[str, str] | None]]:
    """Line, cells and fault of each record. After a quote that is not closed, the next line is read as a new row."""
    taken: list[str] = []  # lines of the record that is being read
    again: list[str] = []  # lines that a quote had swallowed, the next one last

    def feed() -> Iterator[str]:
        while (line := again.pop() if again else next(lines, None)) is not None:
            taken.append(line)
            yield line

    reader, number = csv.reader(feed(), delimiter=delimiter, strict=True), 1
    while True:
        taken.clear()
        is_read_again = bool(again)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if "unexpected end" in str(error):
                detail = "opens a quote that is never closed"
            elif len(taken) > 1:
                detail = f"opens a quote that is not closed before line {number + len(taken) - 1}"
            else:
                detail = "has text behind a closing quote"
            yield number, [], ("quotes", detail)
            again.extend(reversed(taken[1:]))
            reader, number = csv.reader(feed(), delimiter=delimiter, strict=True), number + 1
            continue
        if cells is None:
            return
        # What follows a quote that went wrong may be the rest of its cell.
        rest = is_read_again and any('"' in cell for cell in cells)
        yield number, cells, ("quotes", "has a quote inside a cell, after one that was not closed") if rest else None
        number += len(taken)


# JSON


class _Lettered:
    """A number that knows how it was written: `01` and `1.0` are other labels than `1`."""

    letters: str

    def __new__(cls, letters: str) -> Any:
        number = super().__new__(cls, letters)  # type: ignore[call-arg]
        number.letters = letters
        return number

    def __str__(self) -> str:
        return self.letters


class _Integer(_Lettered, int):
    """An integer that does."""


class _Float(_Lettered, float):
    """A fraction that does."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has two fields {listed(name for name in values if names.count(name) > 1)}")
    return values


# NaN and infinities, which are no JSON, are what pandas writes for missing values.
_DECODER = json.JSONDecoder(
    parse_float=_Float, parse_int=_Integer, parse_constant=lambda _: None, object_pairs_hook=_object
)
_SPACE = re.compile(r"\s*")


def json_table(lines: Iterator[str], field: str | None = None) -> Table:
    """One object a line, a list of objects, or an object that has such a list in a field."""
    first, lines = _begin(lines)
    if field is None and not first.startswith("[") and isinstance(_decoded(first), dict):
        rows = _json_lines(lines)
    else:
        text = "".join(lines)
        if field is not None:
            rows = _items(text, _start_of_field(text, field))
        elif first.startswith("["):
            rows = _items(text, text.index("["))
        elif isinstance(root := _decoded(text), dict):
            raise UnreadableError(" " + _shape(root))
        else:
            rows = _json_lines(io.StringIO(text))
    peeked = list(islice(rows, PEEKED_ROWS))
    good = [row.values for row in peeked if row.fault is None]
    shape = _shape(good[0]) if good and any(_is_rows(value) for value in good[0].values()) else ""
    if good and good[0] and all(isinstance(value, dict | list) for value in good[0].values()):
        raise UnreadableError(" " + _shape(good[0]))
    columns = list(dict.fromkeys(name for values in good for name in values))
    return Table(columns, chain(peeked, rows), shape=shape)


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _json_lines(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _object_row(number, _DECODER.decode(line.strip()))
            except (ValueError, RecursionError) as error:
                yield Row(number, {}, fault=("no valid JSON", f"is not valid JSON: {getattr(error, 'msg', error)}"))


def _object_row(number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    detail = f'holds {reprlib.repr(value)}, not an object such as {{"text": ..., "label": ...}}'
    return Row(number, {}, fault=("no object", detail))


def _items(text: str, start: int) -> Iterator[Row]:
    """The elements of the list that opens at a place of a JSON text, each with the line on which it begins."""
    line, counted, position = 1, 0, _after_space(text, start + 1)
    closed = text[position : position + 1] == "]"
    while not closed:
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", line)
            raise UnreadableError(f", line {line} is not valid JSON: {getattr(error, 'msg', error)}") from error
        yield _object_row(line, value)
        position = _after_space(text, position)
        closed = text[position : position + 1] == "]"
        if not closed and text[position : position + 1] != ",":
            line += text.count("\n", counted, position)
            raise UnreadableError(f", line {line} is not valid JSON: Expecting ',' delimiter or the end of the list")
        position = _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _start_of_field(text: str, field: str) -> int:
    """Where the list opens that the outermost object has in a field."""
    root = _decoded(text)
    if not isinstance(root, dict):
        raise UnreadableError(f": json_field={field!r} needs a file of one JSON object that has such a field")
    if not isinstance(root.get(field), list):
        raise UnreadableError(f" has no list in json_field={field!r}: it {_shape(root)}")
    position = _after_space(text, text.index("{") + 1)
    while True:
        name, position = _DECODER.raw_decode(text, position)
        position = _after_space(text, text.index(":", position) + 1)
        if name == field:
            return position
        _, position = _DECODER.raw_decode(text, position)
        position = _after_space(text, text.index(",", position) + 1)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _shape(root: dict[str, Any]) -> str:
    """What a JSON object holds that is no row, and what to do about it."""
    kinds: dict[type, str] = {dict: "objects", list: "lists"}
    fields = [
        f"{name!r} ({type(value).__name__} of {len(value):,} {kinds.get(type(value[0]) if value else str, 'values')})"
        if isinstance(value, list)
        else f"{name!r} ({'an object' if isinstance(value, dict) else 'a value'})"
        for name, value in list(root.items())[:5]
    ]
    tables = [name for name, value in root.items() if _is_rows(value)]
    pairs = [name for name, value in root.items() if isinstance(value, list) and value and isinstance(value[0], list)]
    if tables:
        remedy = f"json_field={tables[0]!r} reads the rows of that field"
    elif pairs and "columns" not in root:  # that is what pandas writes with orient="split"
        remedy = f'in Python, [{{"text": text, "label": label}} for text, label in data[{pairs[0]!r}]] are such rows'
    else:
        remedy = "pandas writes that by DataFrame.to_json(path, orient='records', lines=True)"
    return (
        f"is one object of {', '.join(fields)}{', ...' * (len(root) > 5)}; wanted is one object a row, such as "
        f'{{"text": ..., "label": ...}}, each on a line or all in one list: {remedy}'
    )


# Parquet


def parquet_table(path: Path, columns: list[str] | None = None) -> Table:
    """
    The rows of a parquet file.

    Args:
        path (`Path`): of the file.
        columns (`list[str]`, *optional*): those that are read; defaults to all.
    """
    file = pq.ParquetFile(path)
    names, known = file.schema_arrow.names, b"huggingface" in (file.schema_arrow.metadata or {})
    features = Features.from_arrow_schema(file.schema_arrow) if known else {}
    classes = {name: feature for name, feature in features.items() if isinstance(feature, ClassLabel)}

    def rows() -> Iterator[Row]:
        number = 0
        for batch in file.iter_batches(PARQUET_ROWS, columns=columns):
            read = {name: column.to_pylist() for name, column in zip(batch.schema.names, batch.columns)}
            for name in classes.keys() & read.keys():
                read[name] = [_class_name(classes[name], value) for value in read[name]]
            for values in zip(*read.values()):
                number += 1
                yield Row(number, dict(zip(read, values)))

    return Table(names, rows(), classes)


def _class_name(feature: ClassLabel, value: int | None) -> str | int | None:
    return feature.int2str(value) if value is not None and 0 <= value < feature.num_classes else value
