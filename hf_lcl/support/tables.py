"""Plain-text tables, and shortened texts."""

from collections.abc import Sequence
from typing import Any


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """
    An aligned table of one or more `rows` with the same keys; floats have three decimals.

    Example:

    ```python
    >>> print(format_table([{"label": "sad", "f1": 0.5}, {"label": "lonely", "f1": 1.0}]))
    label      f1
    sad     0.500
    lonely  1.000
    ```
    """
    columns = []
    for name, first in rows[0].items():
        cells = [f"{row[name]:.3f}" if isinstance(row[name], float) else _in_a_line(row[name]) for row in rows]
        width = max(map(len, (name, *cells)))
        adjust = str.rjust if isinstance(first, int | float) else str.ljust
        columns.append([adjust(cell, width) for cell in (name, *cells)])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns))


def _in_a_line(value: Any) -> str:
    return " ".join(str(value).splitlines())


def shortened(text: str, longest: int) -> str:
    """A text of at most `longest` characters; a text that was cut ends in an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
