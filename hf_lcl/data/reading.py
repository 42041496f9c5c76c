"""The one reader of all commands: files, or the standard input, to checked rows and to data sets of strings."""

import codecs
import gzip
import io
import json
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict
from transformers.utils import logging

from .formats import Row, Table, UnreadableError, csv_table, json_table, listed, parquet_table, txt_table


logger = logging.get_logger(__name__)

LINE = "__line__"  # the column that keeps on which line of its file a row begins
KINDS = {"csv": "csv", "tsv": "tsv", "json": "json", "jsonl": "json", "ndjson": "json", "txt": "txt"}
BEGINNINGS = {  # of files that are no text, or of another encoding, whatever their name
    b"\xff\xfe\0\0": "UTF-32 text, not UTF-8: encoding='utf-32' reads it",
    b"\0\0\xfe\xff": "UTF-32 text, not UTF-8: encoding='utf-32' reads it",
    b"\xff\xfe": "UTF-16 text, not UTF-8: encoding='utf-16' reads it",
    b"\xfe\xff": "UTF-16 text, not UTF-8: encoding='utf-16' reads it",
    b"\x1f\x8b": "gzipped: add .gz to its name",
    b"PK\3\4": "a spreadsheet or a zip archive: save it as csv, or unpack it",
    b"PAR1": "a parquet file: let its name end in .parquet",
}
REMEDIES = {  # of faults, where leaving out the row is not the best
    "another number of cells than the header": "A cell that holds the delimiter or a line end needs quotes around it.",
    "quotes": 'In a cell between quotes, a quote is written twice ("").',
}
TOLD = 5  # of more bad rows, so many are told of one by one
ROWS_AT_ONCE = 10_000  # rows that are Python strings at a time


@dataclass(frozen=True)
class Reader:
    """
    How files are read: csv, tsv, json, jsonl, txt (one text a line, or fastText's `__label__name text`), each of which
    may be gzipped, and parquet.

    Args:
        encoding (`str`, *optional*, defaults to `"utf-8"`): of text files.
        delimiter (`str`, *optional*): between the cells of csv and tsv; by default the one of comma, semicolon, tab
            and bar that makes most cells of the first line.
        json_field (`str`, *optional*): field of a JSON object that holds the list of rows.
        skip_bad_rows (`bool`, *optional*, defaults to `False`): whether rows that cannot be used are left out and
            counted, instead of refused.
    """

    encoding: str = "utf-8"
    delimiter: str | None = None
    json_field: str | None = None
    skip_bad_rows: bool = False

    def __post_init__(self):
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=self.encoding)
        except LookupError as error:
            raise ValueError(f"encoding={self.encoding!r} is unknown: use utf-8, cp1252, utf-16, ...") from error
        delimiter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter or "", self.delimiter)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError(f"delimiter={self.delimiter!r} is no single character: use one such as ';', or tab.")
        object.__setattr__(self, "delimiter", delimiter)

    def columns(self, path: str | Path, split: str | None = None) -> list[str]:
        """Names of the columns of a file; raises a `ValueError` where it cannot be read."""
        with self._table(path, split) as (_, table):
            return table.columns

    def rows(
        self,
        source: str | Path,
        text_columns: Sequence[str] | str | None = None,
        *,
        columns: Sequence[str] | None = None,
        label_column: str | None = None,
        split: str | None = None,
        stream_kind: str = "txt",
        counts: Counter[str] | None = None,
        tell: bool = True,
    ) -> Iterator[Row]:
        """
        The rows that can be used, one by one.

        Args:
            source (`str` or `Path`): a file; `"-"` is the standard input.
            text_columns (`Sequence[str]` or `str`, *optional*): hold a text in each row, which is in its `texts`; see
                [`named_columns`].
            columns (`Sequence[str]`, *optional*): those that are used, and must be decodable; defaults to all.
            label_column (`str`, *optional*): one of these that may not be empty.
            split (`str`, *optional*): how messages call the file.
            stream_kind (`str`, *optional*, defaults to `"txt"`): what the standard input holds: txt, csv, tsv, jsonl.
            counts (`Counter`, *optional*): gets the number of bad rows by the kind of fault.
            tell (`bool`, *optional*, defaults to `True`): whether to tell of rows that are left out.

        Raises:
            ValueError: for a file that cannot be read as a whole or has no rows; for bad rows without
                `skip_bad_rows`, after the last row of a file, at the first bad one of the standard input.
        """
        found: Counter[str] = Counter()
        with self._table(source, split, stream_kind, columns or ()) as (title, table):
            texts = list(text_columns or ())
            if text_columns is None or isinstance(text_columns, str):
                texts = named_columns(text_columns, table.columns)
            missing = [name for name in texts if name not in table.columns]
            if missing and table.columns:
                raise ValueError(
                    f"{title} has no text column {missing[0]!r}; its columns are {listed(table.columns)}. "
                    + (f"It {table.shape}." if table.shape else "Name it with text_column_names.")
                )
            others = None if columns is None else [name for name in columns if name not in texts]
            good, told = 0, list[str]()
            for row in table.rows:
                row = self._checked(row, texts, others, label_column)
                if row.fault is None:
                    good += 1
                    if self.skip_bad_rows or not found:
                        yield row
                    continue
                found[row.fault[0]] += 1
                if len(told) < TOLD:
                    told.append(f"line {row.line} {row.fault[1]}")
                if source == "-" and not self.skip_bad_rows:
                    break
            self._tell(title, good, found, told, tell)
        if counts is not None:
            counts.update(found)

    def _checked(self, row: Row, text_columns: list[str], others: list[str] | None, label_column: str | None) -> Row:
        """The row with its texts, or with what is wrong with it."""
        if row.fault is not None:
            return row
        texts = []
        for name in text_columns:
            value = row.values.get(name)
            if isinstance(value, list | dict):
                return row._replace(fault=("no text", f"holds {value!r} in column {name!r}, not a text"))
            text = cell(value)
            if name not in row.values or _is_empty(text):
                return row._replace(fault=("no text", f"holds no text in column {name!r}"))
            texts.append(text)
        if others is None:  # bytes beside the texts may be a picture
            others = [name for name, value in row.values.items() if not isinstance(value, bytes)]
        found = [cell(row.values.get(name)) for name in others]
        for name, value in zip([*text_columns, *others], [*texts, *found]):
            if name == label_column and _is_empty(value):
                return row._replace(fault=("no label", f"holds no label in column {name!r}"))
            for part in [name, *(value if isinstance(value, list) else [value])]:
                if part is not None and not part.isascii() and (fault := _undecodable(part, self.encoding)):
                    return row._replace(fault=("not decodable", f"{fault} in column {name!r}"))
        return Row(row.line, row.values, tuple(texts))

    def _tell(self, title: str, good: int, counts: Counter[str], told: list[str], tell: bool) -> None:
        bad = counts.total()
        more = f"; and {bad - len(told):,} more" if bad > len(told) else ""
        if bad and not self.skip_bad_rows:
            share = f": {bad:,} of {good + bad:,} rows cannot be used: " if bad > 1 else ", "
            remedies = [REMEDIES[kind] for kind in REMEDIES if kind in counts]
            remedies += ["skip_bad_rows leaves such rows out."] * (good > 0 or bad == 1)
            raise ValueError(" ".join([f"{title}{share}{'; '.join(told)}{more}.", *remedies]))
        if bad and tell:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
            logger.warning(f"{title}: {bad:,} of {good + bad:,} rows are left out ({kinds}): {'; '.join(told)}{more}.")
        if not good:
            raise ValueError(f"{title} has no rows{' that can be used' if bad else ''}.")

    def load_splits(
        self,
        files: Mapping[str, str | Path],
        columns: Sequence[str] | None = None,
        text_columns: Sequence[str] = (),
        label_column: str | None = None,
        return_lines: bool = False,
        dropped: dict[str, Counter[str]] | None = None,
    ) -> DatasetDict:
        """See [`load_splits`]."""
        for split, path in files.items():  # all are looked at before the first is read
            _kind(Path(path), f"The {split} file {path}")
        splits = DatasetDict()
        for split, path in files.items():
            with self._table(path, split) as (title, table):
                kept = [name for name in table.columns if columns is None or name in columns]
                label = label_column if label_column in kept else None
                if label and split != "train" and _lacks(label, table.rows):
                    logger.warning(f"{title} has no labels in column {label!r}: no metrics.")
                    kept.remove(label)
                    label = None
            chunks: list[pa.Table] = []
            are_lists: dict[str, bool] = {}
            counts = None if dropped is None else dropped.setdefault(split, Counter())
            rows = self.rows(path, text_columns, columns=kept, label_column=label, split=split, counts=counts)
            while chunk := list(islice(rows, ROWS_AT_ONCE)):
                arrays = {name: _column(title, name, chunk, are_lists) for name in kept}
                if return_lines:
                    arrays[LINE] = pa.array([row.line for row in chunk])
                chunks.append(pa.table(arrays))
            splits[split] = Dataset(pa.concat_tables(chunks, promote_options="default"))
            for name, feature in (table.classes or {}).items():
                if name in kept and set(splits[split].unique(name)) <= {*feature.names, None}:
                    splits[split] = splits[split].cast_column(name, feature)
        return splits

    @contextmanager
    def _table(
        self,
        source: str | Path,
        split: str | None = None,
        stream_kind: str = "txt",
        columns: Sequence[str] = (),
    ) -> Iterator[tuple[str, Table]]:
        """How messages call a file, and its rows while it is open; of parquet files, all columns or these alone."""
        path = Path(source)
        title = "The standard input" if source == "-" else f"The {split} file {path}" if split else f"The file {path}"
        kind, is_zipped = (stream_kind, False) if source == "-" else _kind(path, title)
        try:
            if kind == "parquet":
                yield title, _without_doubles(parquet_table(path, list(columns) or None))
                return
            with ExitStack() as stack:
                if source == "-":
                    binary: Any = sys.stdin.buffer
                else:
                    binary = stack.enter_context((gzip.open if is_zipped else open)(path, "rb"))
                yield title, _without_doubles(self._parsed(binary, kind, title, stack))
        except UnreadableError as error:
            raise ValueError(f"{title}{error}.") from error
        except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeError) as error:
            raise ValueError(f"{title} cannot be read: {error}.") from error
        except pa.ArrowInvalid as error:
            raise ValueError(f"{title} cannot be read as parquet: {error}") from error

    def _parsed(self, binary: Any, kind: str, title: str, stack: ExitStack) -> Table:
        is_utf8 = codecs.lookup(self.encoding).name == "utf-8"
        # Bytes that the encoding does not know become surrogates, which no text can hold: rows are found out by them.
        text = io.TextIOWrapper(
            binary,
            encoding="utf-8-sig" if is_utf8 else self.encoding,
            errors="surrogateescape",
            newline="" if KINDS[kind] == "csv" else None,
        )
        stack.callback(text.detach)
        lines = iter(text)
        first = next(lines, "")
        for begin, what in BEGINNINGS.items():
            if first.startswith(begin.decode(errors="surrogateescape")):
                raise UnreadableError(f" is {what}")
        if first.count("\0") * 3 > len(first):
            order = "le" if first[1:2] == "\0" else "be"
            raise UnreadableError(f" is UTF-16 text, not UTF-8: encoding='utf-16-{order}' reads it")
        lines = chain([first], lines) if first else lines
        if KINDS[kind] == "json":
            return json_table(lines, self.json_field)
        if kind == "txt":
            return txt_table(lines)
        usual = "\t" if kind == "tsv" else ","
        table = csv_table(lines, self.delimiter, usual)
        for name in table.columns:
            if fault := _undecodable(name, self.encoding):
                raise UnreadableError(f", the names of the columns: {name!r} {fault[:-1]}")
        if self.delimiter is None and len(table.columns) > 1 and table.delimiter != usual:
            logger.warning_once(f"{title} is read with {table.delimiter!r} between its cells (delimiter).")
        return table


def load_splits(
    files: Mapping[str, str | Path],
    *,
    columns: Sequence[str] | None = None,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    return_lines: bool = False,
    dropped: dict[str, Counter[str]] | None = None,
    **options: Any,
) -> DatasetDict:
    """
    Reads one file per split: csv, tsv, json, jsonl, txt (one text a line, or fastText's `__label__name text`), each
    of which may be gzipped, and parquet. Every cell is the string that stands in the file, so that `01` stays `01`; a
    list becomes a list of strings. Nothing is cached: what stands in the file now is what is read.

    Args:
        files (`Mapping[str, str]`): split name ("train", "validation", "test") to file. Names are no patterns.
        columns (`Sequence[str]`, *optional*): those that are kept, where a file has them; defaults to all.
        text_columns (`Sequence[str]`, *optional*): of these; a row without a text in one of them is a bad row.
        label_column (`str`, *optional*): of these; so is one without a label. A file other than `"train"` whose labels
            are all empty is read without them.
        return_lines (`bool`, *optional*, defaults to `False`): whether to add a column `__line__` with the line of the
            file on which each row begins (the first row of a csv is on line 2); messages of [`encode_labels`] and
            [`tokenize_texts`] then name it.
        dropped (`dict[str, Counter]`, *optional*): gets, by split, the rows left out by the kind of fault.
        **options: of [`~data.reading.Reader`]: `encoding`, `delimiter`, `json_field`, `skip_bad_rows`.

    Returns:
        `datasets.DatasetDict`: one data set per split.

    Raises:
        ValueError: for a file that is missing, empty, of an unknown kind or broken, and for bad rows: says which file,
            how many rows, and the first lines.

    Example:

    ```python
    >>> from hf_lcl import load_splits

    >>> splits = load_splits({"train": "examples/data/feelings_train.jsonl"})
    >>> splits["train"].column_names
    ['text', 'label']
    ```
    """
    return Reader(**options).load_splits(files, columns, text_columns, label_column, return_lines, dropped)


def named_columns(names: str | None, columns: Sequence[str]) -> list[str]:
    """
    The columns that a string names: one, or several with commas between; by default `text`, or `sentence` where there
    is no `text`. Raises a `ValueError` for one that is named twice.
    """
    if names is None:
        return ["sentence" if "sentence" in columns and "text" not in columns else "text"]
    found = [names] if names in columns else [name if name in columns else name.strip() for name in names.split(",")]
    if len(set(found)) < len(found):
        raise ValueError(f"text_column_names={names!r} names a column twice: name each once.")
    return found


def cell(value: Any) -> str | list[str | None] | None:
    """What stands in a cell: a number's letters, JSON's words for booleans and objects, `None` for what is missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [
            json.dumps(part, default=str, ensure_ascii=False) if isinstance(part, list) else cell(part)
            for part in value
        ]
    if isinstance(value, bool | dict):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    return str(value) if value == value else None  # NaN is not itself


def _kind(path: Path, title: str) -> tuple[str, bool]:
    """The kind of a file by its name, and whether it is gzipped."""
    name = path.name.lower()
    is_zipped = name.endswith(".gz")
    kind = Path(name.removesuffix(".gz")).suffix.removeprefix(".")
    if path.is_dir():
        raise ValueError(f"{title} is a folder: name a file in it.")
    if not path.is_file():
        pattern = " A name is no pattern: join the files that are meant." if set(path.name) & set("*?[") else ""
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


def _without_doubles(table: Table) -> Table:
    twice = {name for name in table.columns if name and table.columns.count(name) > 1}
    if twice:
        raise UnreadableError(f" has two columns of the name {listed(sorted(twice))}: rename one")
    return table


def _undecodable(text: str, encoding: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that it cannot decode
            return f"holds the byte 0x{code - 0xDC00:02X}, which is no {encoding} (encoding='cp1252' may read it),"
        return f"holds half of a character (\\u{code:04x})"
    return None


def _lacks(column: str, rows: Iterator[Row]) -> bool:
    """Whether there are rows, and none of them has anything in a column."""
    good = (row for row in rows if row.fault is None)
    first = next(good, None)
    return first is not None and all(_is_empty(cell(row.values.get(column))) for row in chain([first], good))


def _is_empty(value: str | list[str] | None) -> bool:
    return not value or (isinstance(value, str) and not value.strip())


def _column(title: str, name: str, rows: list[Row], are_lists: dict[str, bool]) -> pa.Array:
    """A column of some rows, which holds strings or lists of strings throughout."""
    values = [cell(row.values.get(name)) for row in rows]
    for row, value in zip(rows, values):
        if value is not None and are_lists.setdefault(name, isinstance(value, list)) != isinstance(value, list):
            raise ValueError(
                f"{title}, line {row.line} holds {value!r} in column {name!r}: a list in some rows and a single value "
                "in others."
            )
    kinds = {True: pa.list_(pa.string()), False: pa.string()}
    return pa.array(values, kinds.get(are_lists.get(name), pa.null()))
