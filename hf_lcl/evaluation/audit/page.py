"""The page on which people review the findings. Needs matplotlib, which is an extra."""

import re
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ...support.files import write_whole
from ...support.tables import shortened
from ..confusion import shown_in_matrix
from ..plots.matrices import plot_confusion_matrix
from ..relations import class_tree
from ..report.page import LONGEST_TEXT, Card, Section, render_page
from .findings import CONFLICT, DUPLICATE, LABEL, OUTLIER
from .writing import NEIGHBOURS_SHOWN, Audit


LONGEST_LIST = 1000  # rows of a section
TITLES = {
    LABEL: "Labels that look wrong",
    CONFLICT: "Equal texts under two labels",
    DUPLICATE: "Texts that repeat another",
    OUTLIER: "Texts near no other",
}


def write_page(audit: Audit, path: Path, title: str) -> None:
    """Writes a self-contained page: the flagged rows with the texts nearest to them, and the classes."""
    found = [re.sub(" {2,}", ": ", line.strip(), count=1) for line in audit.summary()]
    sections = [Section("In short", lists={"": found})]
    sections += [_rows(audit, flag) for flag, has_it in audit.findings.flags.items() if has_it.any()]
    if not np.isnan(audit.findings.margins).all():
        sections.append(_classes(audit))
    note = f"The {len(audit.texts):,} texts of {title}, as {path.with_suffix('.csv').name} lists them."
    with TemporaryDirectory() as folder:
        write_whole(path, render_page(f"Audit of {title}", note, sections, Path(folder)))


def _rows(audit: Audit, flag: str) -> Section:
    rows = [row for row in audit.findings.order if audit.findings.flags[flag][row]]
    more = f" The first {LONGEST_LIST:,} of {len(rows):,}." if len(rows) > LONGEST_LIST else ""
    text = f"Surest first; below each text those that are nearest to it.{more}"
    return Section(TITLES[flag], text, cards=[_card(audit, row) for row in rows[:LONGEST_LIST]])


def _card(audit: Audit, row: int) -> Card:
    cells = audit.row(row)
    about = [f"line {cells['line']}", *([cells["label"]] if audit.names else [])]
    if audit.findings.flags[LABEL][row]:
        about += [f"looks like {cells['suggested']}", f"margin {cells['margin']:.1f}"]
    about += ["stands in the validation file"] * bool(audit.findings.leaks[row])
    near = (
        [cells[f"nearest_{rank}{what}"] for what in ("_line", "_label", "")] for rank in range(1, NEIGHBOURS_SHOWN + 1)
    )
    beside = [
        f"line {line}{f' · {label}' if label else ''}: {shortened(text, LONGEST_TEXT)}"
        for line, label, text in near
        if line != ""
    ]
    return Card(shortened(cells["text"], LONGEST_TEXT), " · ".join(about), beside)


def _classes(audit: Audit) -> Section:
    """Which classes look like others; with many classes, the picture shows those with the most suspect labels."""
    names, counts = audit.names, audit.counts()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    shown = shown_in_matrix(counts, class_tree(shares).order)
    what = "Each row holds the texts of one label, by the class that they look like."
    if len(shown) < len(names):
        what = f"The {len(shown)} of {len(names)} classes with the most labels that look wrong. {what}"
    title = "Share of the texts of a label that look like which class"
    plot = partial(plot_confusion_matrix, shares, names, shown, columns="looks like", rows="label given", title=title)
    return Section("Classes", what, {"noise": plot}, tables={"Per class": audit.classes()}, alt=what)
