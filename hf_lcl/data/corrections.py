"""Decisions of people on rows of a labelled file, and how they are applied to it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..support.files import write_csv
from .cells import as_text
from .formats import Row
from .reading import Reader


_, CHANGE, DROP = DECISIONS = ("keep", "change", "drop")
READER = Reader(remedy="save it as UTF-8")  # of what the commands wrote and a spreadsheet may have saved
COLUMNS = ("text", "label", "decision", "line")  # of a file of corrections


class Correction(NamedTuple):
    """A decision on one row or, without a line, on all rows with this text."""

    text: str
    label: str  # the correct label, if the decision is `change`
    decision: str
    line: int | None
    place: str  # where the decision was read, for messages


def label_of(row: Row, label_column: str) -> str:
    """The label of a row, spelled as in training."""
    return as_text(row.values.get(label_column)) or ""


def append_correction(path: Path, text: str, label: str, decision: str = CHANGE, line: str = "") -> int:
    """
    Appends a row to a csv file of corrections, which is created if needed, and returns its number of rows. Raises a
    `ValueError` if the file cannot be read, and for any decision but `change` if it is an older one without a column
    `decision`.
    """
    columns, rows = written_corrections(path)
    needed = COLUMNS[:2] if decision == CHANGE else COLUMNS[:3]
    if missing := [name for name in needed if name not in columns]:
        raise ValueError(f"{path} has no column {missing[0]!r}: name another file by --corrections.")
    rows.append(dict(zip(COLUMNS, (text.strip(), label, decision, line))))
    write_csv(path, columns, ([row.get(name) for name in columns] for row in rows))
    return len(rows)


def written_corrections(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """
    Columns and rows of a csv file of corrections, which a person may have edited; those of a new one if there is no
    such file. Raises a `ValueError` if it cannot be read.
    """
    if not path.is_file():
        return [*COLUMNS], []
    with READER.opened(path) as (_, table):
        columns, is_empty = table.columns, next(table.rows, None) is None
    return columns, [] if is_empty else [row.values for row in READER.rows(path, ["text"])]


def read_corrections(path: Path, rows: Iterable[Row]) -> list[Correction]:
    """
    Reads the decisions of a file of corrections (columns `text`, `label` and optionally `decision` and `line`), or of
    the list that `audit` writes, whose `suggested` is the new label. Rows without a decision are skipped. Raises a
    `ValueError` that names the line for a missing column, an unknown decision, or a change without a label.
    """
    found = []
    for number, (line, values, *_) in enumerate(rows):
        is_list = "suggested" in values
        needed = ("text", "line", "label", "decision") if is_list else ("text", "label")
        if number == 0 and (missing := [name for name in needed if name not in values]):
            raise ValueError(
                f"{path} has no column {missing[0]!r}: give a corrections.csv of `hf-lcl demo`, or the list that "
                "`hf-lcl audit` writes."
            )
        place = f"{path}, line {line}"
        decision = str(values.get("decision") or ("" if is_list else CHANGE)).strip().lower()
        label = str(values["suggested" if is_list else "label"] or "").strip()
        if not decision:
            continue
        if decision not in DECISIONS:
            raise ValueError(f"{place}: the decision {decision!r} is none of {', '.join(DECISIONS)}.")
        if decision == CHANGE and not label:
            raise ValueError(f"{place}: change to what? Its column {'suggested' if is_list else 'label'!r} is empty.")
        of_line = str(values.get("line") or "").strip()
        if of_line and not of_line.isdecimal():
            raise ValueError(f"{place}: {of_line!r} in the column 'line' is no line.")
        found.append(
            Correction(str(values["text"]).strip(), label, decision, int(of_line) if of_line else None, place)
        )
    return found


def apply_corrections(
    rows: Iterable[tuple[Row, str]], corrections: Sequence[Correction], text_column: str, label_column: str
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """
    Applies corrections to the rows of a file, given with their texts. Returns the new rows, and how many were
    `changed`, `dropped` and `added`. Later decisions override earlier ones, and decisions on a line those on a text. A
    corrected text that is not in the file is added with its label. Raises a `ValueError` if a line does not exist, or
    holds another text than when the decision was made.
    """
    by_line = {one.line: one for one in corrections if one.line is not None}
    by_text = {one.text: one for one in corrections if one.line is None}
    counts, written, met = Counter[str](), list[dict[str, Any]](), set[str]()
    for row, text in rows:
        met.add(text.strip())
        one = by_line.pop(row.line, None)
        if one is not None and one.text != text.strip():
            raise ValueError(
                f"{one.place}: line {row.line} now holds another text, {text[:60]!r}: apply decisions to the file "
                "that they were made on."
            )
        one = one or by_text.get(text.strip())
        if one is not None and one.decision == DROP:
            counts["dropped"] += 1
            continue
        changes = one is not None and one.decision == CHANGE and label_of(row, label_column) != one.label
        counts["changed"] += changes
        written.append({**row.values, label_column: one.label} if one is not None and changes else dict(row.values))
    if by_line:
        line, one = next(iter(by_line.items()))
        raise ValueError(f"{one.place}: the file has no line {line} with a text.")
    added = [one for text, one in by_text.items() if text not in met and one.decision == CHANGE]
    counts["added"] = len(added)
    return written + [{text_column: one.text, label_column: one.label} for one in added], counts
