"""Reads files, or the standard input, to checked rows, for all commands."""

import codecs
import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from transformers.utils import logging

from ..support.files import file_kind
from .cells import cell, is_empty, is_nested, lacks, listed, undecodable
from .formats import Row, Table, UnreadableError, csv_table, parquet_table, txt_table
from .json_rows import json_table


logger = logging.get_logger(__name__)

KINDS = ("csv", "tsv", "json", "jsonl", "ndjson", "txt")  # of text files
BEGINNINGS = {  # first bytes of files that are not text, or have another encoding, whatever their name
    **dict.fromkeys((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "UTF-32 text, not UTF-8: encoding='utf-32' reads it"),
    **dict.fromkeys((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "UTF-16 text, not UTF-8: encoding='utf-16' reads it"),
    b"\x1f\x8b": "gzipped: add .gz to its name",
    b"PK\3\4": "a spreadsheet or a zip archive: save it as csv, or unpack it",
    b"PAR1": "a parquet file: let its name end in .parquet",
}
REMEDIES = {  # for faults that are better repaired than skipped
    "another number of cells than the header": "A cell that holds the delimiter or a line end needs quotes around it.",
    "quotes": 'In a cell between quotes, a quote is written twice ("").',
}
TOLD_ROWS = 5  # bad rows that a message lists


@dataclass
class Reader:
    """How files are read; see [`load_splits`] for their kinds."""

    encoding: str = "utf-8"  # of text files
    delimiter: str | None = None  # of csv and tsv; default: the one of , ; tab | that gives the header most cells
    json_field: str | None = None  # field of a JSON object that holds the list of rows
    skip_bad_rows: bool = False  # whether unusable rows are skipped and counted, instead of raising an error
    remedy: str = "encoding='cp1252' may read it"  # in messages about bytes that are no UTF-8

    def __post_init__(self) -> None:
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=self.encoding)
        except LookupError as error:
            raise ValueError(f"encoding={self.encoding!r} is unknown: use utf-8, cp1252, utf-16, ...") from error
        delimiter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter or "", self.delimiter)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError(f"delimiter={self.delimiter!r} is no single character: use one such as ';', or tab.")
        self.delimiter = delimiter

    def columns(self, path: str | PathLike, split: str | None = None) -> list[str]:
        """Names of the columns of a file; raises a `ValueError` if it cannot be read."""
        with self.opened(path, split) as (_, table):
            return table.columns

    def rows(
        self,
        source: str | PathLike,
        text_columns: Sequence[str] | str | None = None,
        *,
        columns: Sequence[str] | None = None,
        label_column: str | None = None,
        split: str | None = None,
        stream_kind: str = "txt",
        counts: Counter[str] | None = None,
    ) -> Iterator[Row]:
        """
        Yields the usable rows, each with the texts of its `text_columns` (a string is parsed by [`named_columns`]).
        The other `columns` (default: all) must be decodable, and the `label_column` must not be empty. The source
        `"-"` is the standard input in the format `stream_kind` (txt, csv, tsv or jsonl). The number of bad rows of
        each kind of fault is added to `counts`.

        Raises:
            ValueError: if a file cannot be read as a whole or has no rows. Without `skip_bad_rows` also for bad rows:
                after the last row of a file, or at the first bad row of the standard input.
        """
        found, told, good = Counter[str](), list[str](), 0
        with self.opened(source, split, stream_kind) as (title, table):
            if text_columns is None or isinstance(text_columns, str):
                text_columns = named_columns(text_columns, table.columns)
            missing = [name for name in text_columns if name not in table.columns]
            if missing and table.columns:
                remedy = f"It {table.shape}." if table.shape else "Name it with text_column_names."
                raise ValueError(lacks(title, "text column", missing[0], table.columns, remedy))
            for row in table.rows_with(None if columns is None else [*text_columns, *columns]):
                row = self._checked(row, text_columns, columns, label_column)
                if row.fault is None:
                    good += 1
                    if self.skip_bad_rows or not found:
                        yield row
                    continue
                found[row.fault[0]] += 1
                if len(told) < TOLD_ROWS:
                    told.append(f"line {row.line} {row.fault[1]}")
                if source == "-" and not self.skip_bad_rows:
                    break
            self._tell(title, good, found, told)
        if counts is not None:
            counts.update(found)

    def _checked(self, row: Row, texts: Sequence[str], columns: Sequence[str] | None, label_column: str | None) -> Row:
        """The row with its `texts` or its `fault`."""
        if row.fault is not None:
            return row
        if columns is None:  # bytes in other columns may be an image
            columns = [name for name, value in row.values.items() if not isinstance(value, bytes)]
        cells = {name: cell(row.values.get(name)) for name in (*texts, *columns)}
        for name, value in cells.items():
            kind = "text" if name in texts else "label"
            if kind == "text" and isinstance(row.values.get(name), list | dict):
                return row._replace(fault=("no text", f"holds {row.values[name]!r} in column {name!r}, not a text"))
            if name == label_column and is_nested(row.values.get(name)):
                nested = f"holds {row.values[name]!r} in column {name!r}: a label is a name or a number"
                return row._replace(fault=("no label", nested))
            if is_empty(value) and (kind == "text" or (name == label_column and value != [])):
                return row._replace(fault=(f"no {kind}", f"holds no {kind} in column {name!r}"))
            if what := self._undecodable(value) or self._undecodable(name):
                return row._replace(fault=("not decodable", f"holds {what} in column {name!r}"))
        return row._replace(texts=tuple(str(cells[name]) for name in texts))

    def _undecodable(self, value: str | list[str | None] | None) -> str | None:
        return undecodable(value, self.encoding, self.remedy)

    def _tell(self, title: str, good: int, counts: Counter[str], told: list[str]) -> None:
        bad = counts.total()
        rows = "; ".join(told) + (f"; and {bad - len(told):,} more" if bad > len(told) else "")
        if bad and not self.skip_bad_rows:
            share = f": {bad:,} of {good + bad:,} rows cannot be used: " if bad > 1 else ", "
            remedies = [remedy for kind, remedy in REMEDIES.items() if kind in counts]
            remedies += ["skip_bad_rows leaves such rows out."] * (good > 0 or bad == 1)
            raise ValueError(" ".join([f"{title}{share}{rows}.", *remedies]))
        if bad:  # once, since prediction reads a file twice
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
            logger.warning_once(f"{title}: {bad:,} of {good + bad:,} rows are left out ({kinds}): {rows}.")
        if not good:
            raise ValueError(f"{title} has no rows{' that can be used' if bad else ''}.")

    @contextmanager
    def opened(
        self, source: str | PathLike, split: str | None = None, stream_kind: str = "txt"
    ) -> Iterator[tuple[str, Table]]:
        """The name of a file in messages, and its rows while it is open."""
        path = Path(source)
        name = "The standard input" if source == "-" else f"The file {path}"
        title = f"The {split} file {path}" if split and source != "-" else name
        kind, is_zipped = (stream_kind, False) if source == "-" else _kind(path, title)
        try:
            with ExitStack() as stack:
                binary = sys.stdin.buffer
                if source != "-":
                    binary = stack.enter_context((gzip.open if is_zipped else open)(path, "rb"))
                is_text = kind != "parquet"
                table = self._parsed(binary, kind, name, stack) if is_text else parquet_table(binary)
                if twice := {name for name in table.columns if name and table.columns.count(name) > 1}:
                    raise UnreadableError(f" has two columns of the name {listed(sorted(twice))}: rename one")
                yield title, table
        except UnreadableError as error:
            raise ValueError(f"{title}{error}.") from error
        except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeError, pa.ArrowInvalid) as error:
            raise ValueError(f"{title} cannot be read as {kind}: {error}") from error

    def _parsed(self, binary: BinaryIO, kind: str, name: str, stack: ExitStack) -> Table:
        """The rows of a text file."""
        is_utf8 = codecs.lookup(self.encoding).name == "utf-8"
        # Undecodable bytes become surrogates, which valid text cannot contain: they mark the bad rows.
        text = io.TextIOWrapper(
            binary,
            encoding="utf-8-sig" if is_utf8 else self.encoding,
            errors="surrogateescape",
            newline="" if kind in ("csv", "tsv") else None,
        )
        stack.callback(text.detach)
        lines = iter(text)
        first = next(lines, "")
        for beginning, what in BEGINNINGS.items():
            if first.startswith(beginning.decode(errors="surrogateescape")):
                raise UnreadableError(f" is {what}")
        if first.count("\0") * 3 > len(first):
            order = "le" if first[1:2] == "\0" else "be"
            raise UnreadableError(f" is UTF-16 text, not UTF-8: encoding='utf-16-{order}' reads it")
        lines = chain([first], lines) if first else lines
        if kind == "txt":
            return txt_table(lines)
        if kind not in ("csv", "tsv"):
            return json_table(lines, self.json_field)
        usual = "\t" if kind == "tsv" else ","
        table = csv_table(lines, self.delimiter, usual)
        for column in table.columns:
            if fault := self._undecodable(column):
                raise UnreadableError(f", the names of the columns: {column!r} holds {fault.rstrip(',')}")
        if self.delimiter is None and len(table.columns) > 1 and table.delimiter != usual:
            logger.warning_once(f"{name} is read with {table.delimiter!r} between its cells (delimiter).")
        return table


def named_columns(names: str | None, columns: Sequence[str]) -> list[str]:
    """
    The columns that a string names, one or several with commas between. Defaults to `text`, or to `sentence` if there
    is no `text`. Raises a `ValueError` if a column is named twice.
    """
    if names is None:
        return ["sentence" if "sentence" in columns and "text" not in columns else "text"]
    found = [names] if names in columns else [name if name in columns else name.strip() for name in names.split(",")]
    if len(set(found)) < len(found):
        raise ValueError(f"text_column_names={names!r} names a column twice: name each once.")
    return found


def _kind(path: Path, title: str) -> tuple[str, bool]:
    """The kind of a file by its extension, and whether it is gzipped; raises a `ValueError` if it cannot be read."""
    kind, is_zipped = file_kind(path), path.name.lower().endswith(".gz")
    if path.is_dir():
        raise ValueError(f"{title} is a folder: name a file in it.")
    if not path.is_file():
        pattern = " Patterns are not expanded: join the files first." if set(path.name) & set("*?[") else ""
        raise ValueError(f"{title} does not exist.{pattern}")
    if kind in ("xlsx", "xls"):
        raise ValueError(
            f'{title} is a spreadsheet: save it as csv, or write python -c "import pandas; '
            f'pandas.read_excel({path.name!r}).to_csv({path.stem + ".csv"!r}, index=False)".'
        )
    if kind not in (*KINDS, "parquet") or (kind == "parquet" and is_zipped):
        raise ValueError(f"{title} has an unknown extension: use .{', .'.join(KINDS)} (.gz may follow) or .parquet.")
    if path.stat().st_size == 0:
        raise ValueError(f"{title} is empty: it has no rows.")
    return kind, is_zipped
