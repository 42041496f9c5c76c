"""What `predict` says of each text: every column of the input, and ours beside them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from transformers.utils import logging

from ..evaluation.decisions import SEPARATOR, label_text


logger = logging.get_logger(__name__)


def prediction_records(
    columns: Sequence[str],
    names: Sequence[str],
    *,
    is_flat: bool,
    of_files: bool = False,
    top_k: int = 1,
    all_probabilities: bool = False,
    reject_below: float | None = None,
    several: bool = False,
) -> tuple[list[str], Callable[[str, int, Mapping[str, Any], np.ndarray], dict[str, Any]]]:
    """
    The columns of the predictions for an input with such `columns`, and what makes a record, given the file and the
    line of a text, its row and the probabilities of all classes.

    A record has the line (and, with `of_files`, the file before it), all `columns` of the row as they are, `label` and
    `probability`, the likeliest `top_k` classes (`label_2`, `probability_2`, ...) and, with `all_probabilities`, those
    of all classes: `p(NAME)` where a record `is_flat`, as those of csv files, else `probabilities`. With
    `reject_below`, `decision` is `review` where the probability of the likeliest class is lower, else `accept`. With
    `several` labels per text, `label` holds all above 0.5 with `|` between them, and `probability` theirs. One of ours
    whose name is a column of the input gets `predicted_` in front. A row of no flat record may have others.
    """
    top_k = min(top_k, len(names))
    places = ["file", "line"] if of_files else ["line"]
    further = [f"{what}_{rank}" for rank in range(2, top_k + 1) for what in ("label", "probability")]
    of_classes = [f"p({name})" for name in names] if is_flat else ["probabilities"]
    further += of_classes if all_probabilities else []
    further += [] if reject_below is None else ["decision"]
    ours = free_names([*places, "label", "probability", *further], columns)
    renamed = [f"{name} is in the column {new}" for name, new in ours.items() if name != new]
    if renamed:
        logger.warning(f"The input has columns that are called as ours: what we say of {', '.join(renamed)}.")
    if several and not all_probabilities and (unclear := [name for name in names if SEPARATOR in name]):
        logger.warning(
            f"The label {unclear[0]!r} holds the {SEPARATOR!r} that stands between labels: --all_probabilities tells "
            "them apart."
        )
    before, after = [*ours.values()][: len(places)], [*ours.values()][len(places) :]

    def record(file: str, line: int, row: Mapping[str, Any], probabilities: np.ndarray) -> dict[str, Any]:
        new = [name for name in row if name not in columns]
        if new and (is_flat or set(new) & set(ours.values())):
            raise ValueError(
                f"Line {line} has a column {new[0]!r}, which the rows before it lack: give a file instead of the "
                "standard input, or columns of the same names in each row."
            )
        rounded = [round(float(value), 6) for value in probabilities]
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        found: list[Any] = [value for index in best for value in (names[index], rounded[index])]
        if several:
            is_given = probabilities > 0.5
            found = [label_text(is_given, names), label_text(is_given, [str(value) for value in rounded])]
        if all_probabilities:
            found += rounded if is_flat else [dict(zip(names, rounded))]
        if reject_below is not None:
            found.append("review" if rounded[best[0]] < reject_below else "accept")
        place = (file, line) if of_files else (line,)
        return {**dict(zip(before, place)), **row, **dict(zip(after, found))}

    return [*before, *columns, *after], record


def free_names(ours: Sequence[str], columns: Collection[str]) -> dict[str, str]:
    """Our names, each with `predicted_` in front as often as it takes to be no column of the input."""
    names: dict[str, str] = {}
    for name in ours:
        new = name
        while new in columns or new in names.values():
            new = f"predicted_{new}"
        names[name] = new
    return names
