"""What `predict` writes of each text: every column of the input, and ours beside them."""

import io
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import logging

from ..support.files import csv_writer, open_whole


logger = logging.get_logger(__name__)


@contextmanager
def prediction_writer(
    path: Path | None,
    columns: Sequence[str],
    names: Sequence[str],
    *,
    safe: bool = False,
    top_k: int = 1,
    all_probabilities: bool = False,
    reject_below: float | None = None,
) -> Iterator[Callable[[int, Mapping[str, Any], np.ndarray], None]]:
    """
    What writes a prediction, given the line of a text, its row and the probabilities of all classes: into a csv or
    jsonl file, which has its name once it is whole, or as JSON lines to the standard output.

    A record has the line, all `columns` of the row as they are, `label` and `probability`, the likeliest `top_k`
    classes (`label_2`, `probability_2`, ...) and, with `all_probabilities`, those of all classes: `p(NAME)` in
    a csv file, `probabilities` in JSON lines. With `reject_below`, `decision` is `review` where the probability of the
    likeliest class is lower, else `accept`. One of ours whose name is a column of the input gets `predicted_` in
    front. `safe` is that of [`csv_writer`].
    """
    is_csv = path is not None and path.suffix.lower() == ".csv"
    top_k = min(top_k, len(names))
    further = [f"{what}_{rank}" for rank in range(2, top_k + 1) for what in ("label", "probability")]
    of_classes = [f"p({name})" for name in names] if is_csv else ["probabilities"]
    further += of_classes if all_probabilities else []
    further += [] if reject_below is None else ["decision"]
    ours = free_names(["line", "label", "probability", *further], columns)
    renamed = [f"{name} is in the column {new}" for name, new in ours.items() if name != new]
    if renamed:
        logger.warning(f"The input has columns that are called as ours: what we say of {', '.join(renamed)}.")
    if path is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    with nullcontext(sys.stdout) if path is None else open_whole(path) as file:
        write_row = csv_writer(file, safe)
        line_name, *other_names = ours.values()
        if is_csv:
            write_row([line_name, *columns, *other_names])

        def write(line: int, row: Mapping[str, Any], probabilities: np.ndarray) -> None:
            new = [name for name in row if name not in columns]
            if new and (is_csv or set(new) & set(ours.values())):
                raise ValueError(
                    f"Line {line} has a column {new[0]!r}, which the rows before it lack: give a file instead of the "
                    "standard input, or columns of the same names in each row."
                )
            rounded = [round(float(value), 6) for value in probabilities]
            best = np.argsort(-probabilities, kind="stable")[:top_k]
            found: list[Any] = [value for index in best for value in (names[index], rounded[index])]
            if all_probabilities:
                found += rounded if is_csv else [dict(zip(names, rounded))]
            if reject_below is not None:
                found.append("review" if rounded[best[0]] < reject_below else "accept")
            if is_csv:
                write_row([line, *(_readable(row.get(name)) for name in columns), *found])
            else:
                record = {line_name: line, **row, **dict(zip(other_names, found))}
                file.write(json.dumps(record, ensure_ascii=False, default=lambda value: str(_readable(value))) + "\n")

        yield write


def free_names(ours: Sequence[str], columns: Collection[str]) -> dict[str, str]:
    """Our names, each with `predicted_` in front as often as it takes to be no column of the input."""
    names: dict[str, str] = {}
    for name in ours:
        new = name
        while new in columns or new in names.values():
            new = f"predicted_{new}"
        names[name] = new
    return names


def _readable(value: Any) -> Any:
    """Bytes as the text that they hold."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
