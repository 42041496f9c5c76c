"""Reads JSON to rows with line numbers: one object per line, a list of objects, or such a list in a field."""

import io
import json
import re
import reprlib
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from .cells import listed
from .formats import Row, Table, UnreadableError, begin


PEEKED_ROWS = 1000  # rows whose keys become the columns of the file


class _Float(float):
    """A float that keeps its spelling: `1.0` and `1.00` are different labels."""

    def __init__(self, letters: str):
        self.letters = letters

    def __str__(self) -> str:
        return self.letters


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has two fields {listed(name for name in values if names.count(name) > 1)}")
    return values


# pandas writes missing values as NaN and infinities, which are not valid JSON.
_DECODER = json.JSONDecoder(parse_float=_Float, parse_constant=lambda _: None, object_pairs_hook=_object)
_LETTER = re.compile(r"\S")


def json_table(lines: Iterator[str], field: str | None = None) -> Table:
    """The rows of the list in `field` of a single object, if given; else of one object per line, or of a list."""
    first, lines = begin(lines)
    if field is None and not first.startswith("[") and isinstance(_decoded(first), dict):
        rows = _json_lines(lines)
    else:
        text = "".join(lines)
        if field is not None:
            rows = _items(text, _start_of_field(text, field))
        elif first.startswith("["):
            rows = _whole_list(text)
        elif isinstance(root := _decoded(text), dict):
            raise UnreadableError(" " + _shape(root))
        else:
            rows = _json_lines(io.StringIO(text))
    peeked = list(islice(rows, PEEKED_ROWS))
    good = [row.values for row in peeked if row.fault is None]
    first_row = good[0] if good else {}
    if first_row and all(isinstance(value, dict | list) for value in first_row.values()):
        raise UnreadableError(" " + _shape(first_row))
    shape = _shape(first_row) if any(map(_is_rows, first_row.values())) else ""
    columns = list(dict.fromkeys(name for values in good for name in values))
    return Table(columns, chain(peeked, rows), shape=shape)


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _words(error: Exception) -> str:
    return f"is not valid JSON: {getattr(error, 'msg', error)}"


def _json_lines(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _object_row(number, _DECODER.decode(line.strip()))
            except (ValueError, RecursionError) as error:
                yield Row(number, {}, fault=("no valid JSON", _words(error)))


def _object_row(number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    detail = f'holds {reprlib.repr(value)}, not an object such as {{"text": ..., "label": ...}}'
    return Row(number, {}, fault=("no object", detail))


def _whole_list(text: str) -> Iterator[Row]:
    """The elements of a list behind which nothing stands."""
    end = yield from _items(text, text.index("["))
    if end < len(text):
        line, found = text.count("\n", 0, end) + 1, reprlib.repr(text[end:].partition("\n")[0])
        raise UnreadableError(f", line {line} has {found} behind the end of the list: write all rows into one list")


def _items(text: str, start: int) -> Generator[Row, None, int]:
    """The elements of the list that opens at `start`, each with its first line. Returns where the list has ended."""
    line, counted, position = 1, 0, _after_space(text, start + 1)
    is_open = text[position : position + 1] != "]"
    while is_open:
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = _DECODER.raw_decode(text, position)
            yield _object_row(line, value)
            position = _after_space(text, position)
            mark = text[position : position + 1]
            if mark not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' delimiter or the end of the list", text, position)
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f", line {getattr(error, 'lineno', line)} {_words(error)}") from error
        is_open = mark == ","
        position = _after_space(text, position + 1) if is_open else position
    return _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    found = _LETTER.search(text, position)
    return found.start() if found else len(text)


def _start_of_field(text: str, field: str) -> int:
    """The position at which the list in `field` of the outermost object opens."""
    root = _decoded(text)
    if not isinstance(root, dict):
        raise UnreadableError(f": json_field={field!r} needs a file of one JSON object that has such a field")
    if not isinstance(root.get(field), list):
        raise UnreadableError(f" has no list in json_field={field!r}: it {_shape(root)}")
    mark = text.index("{")
    while True:
        name, position = _DECODER.raw_decode(text, _after_space(text, mark + 1))
        position = _after_space(text, text.index(":", position) + 1)
        if name == field:
            return position
        mark = text.index(",", _DECODER.raw_decode(text, position)[1])


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _shape(root: dict[str, Any]) -> str:
    """Describes a JSON object that is not a row, and how to read its rows."""
    fields, tables, pairs = [], [], []
    for name, value in root.items():
        kind = "an object" if isinstance(value, dict) else "a value"
        if isinstance(value, list):
            first = value[0] if value else None
            of = "objects" if isinstance(first, dict) else "lists" if isinstance(first, list) else "values"
            kind = f"list of {len(value):,} {of}"
            tables += [name] * _is_rows(value)
            pairs += [name] * (of == "lists")
        fields.append(f"{name!r} ({kind})")
    remedy = "pandas writes that by DataFrame.to_json(path, orient='records', lines=True)"
    if tables:
        remedy = f"json_field={tables[0]!r} reads the rows of that field"
    elif pairs and "columns" not in root:  # with columns, pandas wrote it (orient="split")
        remedy = f'in Python, [{{"text": text, "label": label}} for text, label in data[{pairs[0]!r}]] are such rows'
    return (
        f"is one object of {', '.join(fields[:5])}{', ...' * (len(fields) > 5)}; write one object per row, such as "
        f'{{"text": ..., "label": ...}}, one per line or all in one list: {remedy}'
    )
