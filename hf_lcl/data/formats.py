"""Reads text files and parquet to rows with line numbers; a broken row does not hide the others."""

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, takewhile
from typing import Any, BinaryIO, NamedTuple

import pyarrow.parquet as pq
from datasets import ClassLabel, Features


DELIMITERS = ",;\t|"
FASTTEXT = "__label__"
PARQUET_ROWS = 1000  # rows that are held at a time

csv.field_size_limit(2**31 - 1)  # a cell may be a book; the module's own limit is 131,072 characters


class Row(NamedTuple):
    """A row of a file."""

    line: int  # line of the file on which it begins, from 1; in a parquet file, the row number
    values: dict[str, Any]  # by column: strings in text files, else as JSON or parquet has them
    texts: tuple[str, ...] = ()  # of the text columns, in their order, once they were checked
    fault: tuple[str, str] | None = None  # of a bad row: the kind of fault, and its description


class Table(NamedTuple):
    """The rows of a file as they are read."""

    columns: list[str]
    rows: Iterator[Row]
    classes: dict[str, Any] | None = None  # features with class names, of class ids or lists of them (parquet)
    shape: str = ""  # description of a JSON file whose first object may hold the rows in a field
    delimiter: str = ""  # of a csv or tsv file
    select: Callable[[Sequence[str]], Iterator[Row]] | None = None  # rows with some of the columns (parquet)

    def rows_with(self, columns: Sequence[str] | None) -> Iterator[Row]:
        """The rows with these columns, by default all. Only parquet files are spared the reading of the others."""
        return self.rows if columns is None or self.select is None else self.select(columns)


class UnreadableError(ValueError):
    """A file that cannot be read as a whole; its text follows the name of the file in a message."""


def begin(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """The first line that is not blank, and all lines."""
    taken: list[str] = []
    for line in lines:
        taken.append(line)
        if line.strip():
            break
    return "".join(taken[-1:]).strip(), chain(taken, lines)


def txt_table(lines: Iterator[str]) -> Table:
    """One text a line, or fastText's `__label__name text`."""
    first, lines = begin(lines)
    numbered = enumerate(lines, start=1)
    if not first.startswith(FASTTEXT):
        return Table(["text"], (Row(number, {"text": line.rstrip("\r\n")}) for number, line in numbered))
    return Table(["text", "label"], (_fasttext_row(number, line) for number, line in numbered if line.strip()))


def _fasttext_row(number: int, line: str) -> Row:
    names = [word.removeprefix(FASTTEXT) for word in takewhile(lambda word: word.startswith(FASTTEXT), line.split())]
    if not names:
        return Row(number, {}, fault=("no label", f"does not begin with {FASTTEXT}NAME as the lines before it"))
    text = [*line.strip().split(maxsplit=len(names)), ""][len(names)]
    return Row(number, {"text": text, "label": names if len(names) > 1 else names[0]})


def csv_table(lines: Iterator[str], delimiter: str | None = None, usual: str = ",") -> Table:
    """
    A first line of column names, then one row each. The default delimiter is the one that splits the first line into
    most cells; ties go to the `usual` one.
    """
    first, lines = begin(lines)
    if delimiter is None:
        cells = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in DELIMITERS}
        delimiter = max(DELIMITERS, key=lambda mark: (cells[mark], mark == usual))
    records = _csv_records(lines, delimiter)
    number, header, fault = next((record for record in records if record[1] or record[2]), (1, [], ""))
    if fault:
        raise UnreadableError(f", line {number}, the names of the columns, {fault}")
    columns = [name.strip() for name in header]
    return Table(columns, _csv_rows(records, columns), delimiter=delimiter)


def _csv_rows(records: Iterator[tuple[int, list[str], str]], columns: list[str]) -> Iterator[Row]:
    for number, cells, quotes in records:
        fault = ("quotes", quotes) if quotes else None
        if not quotes and len(cells) != len(columns):
            if not "".join(cells).strip() and len(cells) < 2:
                continue  # a blank line
            detail = f"has {len(cells)} cell{'s' * (len(cells) > 1)}, but the header {len(columns)}"
            fault = ("another number of cells than the header", detail)
        elif len(columns) > 1 and [*map(str.strip, cells)] == columns:  # as in files that were joined by `cat`
            fault = ("the header again", "is the header once more")
        yield Row(number, dict(zip(columns, cells)), fault=fault)


def _csv_records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Line, cells and quoting fault of each record. After an unclosed quote, reading goes on in the next line."""
    taken: list[str] = []  # lines of the record that is being read
    unread: list[str] = []  # lines that an unclosed quote had swallowed, the next one last

    def feed() -> Iterator[str]:
        while (line := unread.pop() if unread else next(lines, None)) is not None:
            taken.append(line)
            yield line

    reader, number = csv.reader(feed(), delimiter=delimiter, strict=True), 1
    while True:
        taken.clear()
        was_swallowed, cells, fault = bool(unread), [], ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                fault = "opens a quote that is never closed"
            elif len(taken) > 1:
                fault = f"opens a quote that is not closed before line {number + len(taken) - 1}"
            else:
                fault = "has text behind a closing quote"
            unread.extend(reversed(taken[1:]))
            del taken[1:]
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        if was_swallowed and any('"' in cell for cell in cells):  # it may be the rest of the cell that was not closed
            fault = "has a quote inside a cell, after one that was not closed"
        yield number, cells, fault
        number += len(taken)


def parquet_table(file: BinaryIO) -> Table:
    """The rows of a parquet file."""
    content = pq.ParquetFile(file)
    schema = content.schema_arrow
    features = Features.from_arrow_schema(schema) if b"huggingface" in (schema.metadata or {}) else {}
    ids = {name: getattr(feature, "feature", feature) for name, feature in features.items()}  # also in lists
    names = {name: dict(enumerate(kind.names)) for name, kind in ids.items() if isinstance(kind, ClassLabel)}

    def named(name: str, value: Any) -> Any:
        return [named(name, one) for one in value] if isinstance(value, list) else names[name].get(value, value)

    def rows(columns: Sequence[str] | None = None) -> Iterator[Row]:
        batches = content.iter_batches(PARQUET_ROWS, columns=columns)
        for number, values in enumerate(chain.from_iterable(batch.to_pylist() for batch in batches), start=1):
            yield Row(number, values | {name: named(name, values[name]) for name in names.keys() & values.keys()})

    return Table(schema.names, rows(), {name: features[name] for name in names}, select=rows)
