"""Rows of equal keys as text that people can read."""

from collections.abc import Sequence
from typing import Any


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """
    Rows of equal keys as an aligned table; floats with three decimals.

    Args:
        rows (`Sequence[dict[str, Any]]`): at least one.

    Example:

    ```python
    >>> from hf_lcl.support.tables import format_table

    >>> print(format_table([{"label": "sad", "f1": 0.5}, {"label": "lonely", "f1": 1.0}]))
    label      f1
    sad     0.500
    lonely  1.000
    ```
    """
    cells = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    numeric = [isinstance(value, (int, float)) for value in rows[0].values()]
    lines = [list(rows[0]), *cells]
    widths = [max(map(len, column)) for column in zip(*lines)]
    aligned = [
        [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, numeric)]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in aligned)
