"""The value of a cell of a file, as text."""

import codecs
import json
from collections.abc import Collection, Iterable
from typing import Any

from ..support.likely import did_you_mean


# Names of columns that the Trainer and its collators take for labels, whatever they hold.
LABEL_NAMES = ("labels", "label", "label_ids")


def cell(value: Any) -> str | list[str | None] | None:
    """A cell as text, or as a list of texts if it holds a list; see [`as_text`]."""
    return [as_text(part) for part in value] if isinstance(value, list) else as_text(value)


def as_text(value: Any) -> str | None:
    """A value as text: JSON for booleans, lists and objects, `str` for numbers, `None` for missing values."""
    if isinstance(value, bool | dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    return None if value is None or value != value else str(value)  # NaN differs from NaN


def is_nested(value: Any) -> bool:
    """Whether a cell holds an object, or a list of lists or objects."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, list | dict) for v in value))


def is_empty(value: str | list[str | None] | None) -> bool:
    """Whether a cell is missing, blank or an empty list."""
    return not value or (isinstance(value, str) and not value.strip())


def undecodable(value: str | list[str | None] | None, encoding: str, remedy: str) -> str | None:
    """
    A description of what cannot be decoded in a cell or a column name, with the `remedy` for what is no UTF-8; `None`
    if all can.
    """
    for part in value if isinstance(value, list) else [value]:
        try:
            if part is not None and not part.isascii():
                part.encode()
        except UnicodeEncodeError as error:
            code = ord(error.object[error.start])
            if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that it cannot decode
                told = f" ({remedy})" if codecs.lookup(encoding).name == "utf-8" else ""
                return f"the byte 0x{code - 0xDC00:02X}, which is no {encoding}{told},"
            return f"half of a character (\\u{code:04x})"
    return None


def listed(values: Iterable[Any], limit: int = 20) -> str:
    """Values for a message of one line: `'a', 'b' and 9,980 more`."""
    values = list(values)
    more = f" and {len(values) - limit:,} more" if len(values) > limit else ""
    return ", ".join(map(repr, values[:limit])) + more


def lacks(where: str, what: str, name: str, columns: Collection[str], remedy: str = "") -> str:
    """The message for a missing column, or `text column`: the columns that exist, and the one probably meant."""
    guess = did_you_mean(name, columns)
    return f"{where} has no {what} {name!r}; its columns are {listed(columns)}. {guess}{remedy}".rstrip()
