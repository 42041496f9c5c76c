"""Finds the text column and the label column of a file from its rows."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from ..data.several_labels import written_list
from .arguments import DataArguments


TEXT_NAMES = ("text", "sentence", "body", "message", "content", "utterance", "query", "question", "review", "tweet")
LABEL_NAMES = (
    *("label", "labels", "class", "category", "intent", "emotion"),
    *("sentiment", "topic", "queue", "target", "tag", "tags"),
)
# Number of rows from which the columns are found.
ROWS = 2000
MIN_WORDS_PER_TEXT = 3
MIN_ROWS_PER_LABEL = 3


def find_columns(
    rows: Iterable[Mapping[str, Any]],
    *,
    text: str | None = None,
    label: str | None = None,
    has_labels: bool = True,
    source: str = "The file",
) -> tuple[str, str | None, list[str]]:
    """
    Finds the text column and, with `has_labels`, the label column in the first rows of a file, unless they are given,
    and returns both with a reason for each that was found. A text column has three words or more per cell on average,
    and few repeated cells. A label column has at least two values, each in three rows or more on average. Of several
    candidates, one with a usual name (`text`, `body`, `label`, `queue`, ...) is taken.

    Raises:
        ValueError: if there is no candidate, or several without a usual name; the message names the flag to use.
    """
    cells = _cells(rows)
    reasons = []
    if text is None:
        texts = {name: values for name, values in cells.items() if name != label and _holds_texts(values)}
        text = _only(texts, TEXT_NAMES, "text", "--text_column_names", cells, source)
        words = sum(map(_words, cells[text])) / len(cells[text])
        reasons.append(f"text column: {text} ({words:.0f} words in a cell); --text_column_names overrides")
    if label is None and has_labels:
        labels = {name: values for name, values in cells.items() if name != text and _holds_labels(values)}
        label = _only(labels, LABEL_NAMES, "label", "--label_column_name", cells, source)
        reasons.append(f"label column: {label} ({len(set(cells[label]))} values); --label_column_name overrides")
    return text, label, reasons


def set_columns(data_args: DataArguments, path: str, *, has_labels: bool = True) -> tuple[list[str], int]:
    """
    Sets the text column of a file in the arguments and, with `has_labels`, the label column. Unless given, they are
    `text` or `sentence` and `label` or `labels`, else those that [`find_columns`] finds. Returns its reasons and the
    number of rows. Raises a `ValueError` as [`find_columns`] does, and for a file without rows.
    """
    with data_args.reader.opened(path) as (source, table):
        names = table.columns
        first = [row.values for row in islice(table.rows, ROWS)]
        num_rows = len(first) + sum(1 for _ in table.rows)
    if not num_rows:
        raise ValueError(f"{source} has no rows.")
    given = data_args.label_columns[0] if data_args.label_columns else data_args.label_column_name
    text = data_args.text_column_names or next((name for name in ("text", "sentence") if name in names), None)
    label = given or next((name for name in ("label", "labels") if name in names), None)
    data_args.text_column_names, label, reasons = find_columns(
        first, text=text, label=label, has_labels=has_labels, source=source
    )
    if label is not None and not data_args.label_columns:
        data_args.label_column = data_args.label_column_name = label
    return reasons, num_rows


def _cells(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The non-empty cells of each column."""
    cells: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items():
            column = cells.setdefault(name, [])
            value = written_list(value)  # several labels
            for part in value if isinstance(value, list) else [value]:
                if part is not None and str(part).strip():
                    column.append(str(part).strip())
    return cells


def _words(cell: str) -> int:
    # Scripts without spaces between words: at least one word per four characters.
    return max(len(cell.split()), 0 if cell.isascii() else len(cell) // 4)


def _holds_texts(cells: list[str]) -> bool:
    words = sum(map(_words, cells))
    return words >= MIN_WORDS_PER_TEXT * len(cells) > 0 and 2 * len(set(cells)) > len(cells)


def _holds_labels(cells: list[str]) -> bool:
    values = len(set(cells))
    return values >= 2 and len(cells) >= MIN_ROWS_PER_LABEL * values


def _only(
    candidates: dict[str, list[str]], known: tuple[str, ...], kind: str, flag: str, columns: Iterable[str], source: str
) -> str:
    """The only candidate, or the one whose name comes first in `known`; raises a `ValueError` if there is none."""
    by_name = {name.strip().lower(): name for name in candidates}
    named = [by_name[name] for name in known if name in by_name]
    if named or len(candidates) == 1:
        return named[0] if named else next(iter(candidates))
    if not candidates:
        raise ValueError(
            f"{source} has no column that looks like {kind}s: write {flag} NAME. Its columns: {', '.join(columns)}."
        )
    shown = [f"{name} ({len(set(values))} values)" if kind == "label" else name for name, values in candidates.items()]
    told = f"{source} has several columns that may be the {kind}: {', '.join(shown)}. Write"
    if kind == "label" and all(set(values) == {"0", "1"} for values in candidates.values()):
        raise ValueError(f"{told} --label_columns {' '.join(candidates)}, if each says whether a text has that label.")
    raise ValueError(f"{told} one of them: {flag} {next(iter(candidates))}.")
