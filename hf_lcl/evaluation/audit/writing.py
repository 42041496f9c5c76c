"""The findings, as a list and as a summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...support.files import write_csv
from ..confusion import confused_pairs, confusion_counts
from .findings import CONFLICT, DUPLICATE, LABEL, OUTLIER, Findings


NEIGHBOURS_SHOWN = 3  # nearest texts
COLUMNS = [
    *("line", "text", "label", "suggested", "margin", "probability", "flag"),
    *(f"nearest_{rank}{what}" for rank in range(1, NEIGHBOURS_SHOWN + 1) for what in ("", "_line", "_label")),
    "decision",
]


@dataclass(frozen=True)
class Audit:
    """A file and what was found in it."""

    findings: Findings
    lines: Sequence[int]  # of the file, on which the rows begin
    texts: Sequence[str]  # of the rows
    names: list[str]  # of the classes by id; none where the file has no labels

    def write_list(self, path: Path) -> None:
        """Writes one line per row with the columns `COLUMNS`, the largest margin first; `decision` is left empty."""
        write_csv(path, COLUMNS, (self.row(row).values() for row in self.findings.order))

    def row(self, row: int) -> dict[str, Any]:
        """The cells of a row of the list."""
        found = self.findings
        nearest = found.neighbours.rows[row][:NEIGHBOURS_SHOWN]
        near = [(self.texts[index], self.lines[index], self._name(index)) for index in nearest if index >= 0]
        near += [("", "", "")] * (NEIGHBOURS_SHOWN - len(near))
        margin, probability = (
            "" if np.isnan(values[row]) else round(float(values[row]), 6)
            for values in (found.margins, found.probabilities)
        )
        suggested = "" if margin == "" else self.names[found.suggested[row]]
        cells = [self.lines[row], self.texts[row], self._name(row), suggested, margin, probability, found.flag(row)]
        return dict(zip(COLUMNS, [*cells, *(cell for one in near for cell in one), ""]))

    def _name(self, row: int) -> str:
        return self.names[self.findings.labels[row]] if self.names else ""

    def summary(self) -> list[str]:
        """The lines that a command prints."""
        flags, leaks, count = self.findings.flags, int(self.findings.leaks.sum()), len(self.texts)
        suspect = int(flags[LABEL].sum())
        lines = []
        if self.findings.singles:
            names = ", ".join(self.names[index] for index in self.findings.singles[:5])
            lines += [f"not judged  classes with a single text: {names}"]
        if not np.isnan(self.findings.margins).all():
            agreed = float((self.findings.suggested == self.findings.labels).mean())
            lines += [
                f"labels      {suspect:,} of {count:,} look wrong ({suspect / count:.1%}); a judge that has not seen "
                f"them agrees with {agreed:.0%} of all"
            ]
            worst = [f"{row['label']} {row['look wrong']:.0%}" for row in self.classes()[:5] if row["look wrong"]]
            lines += [f"            most in {', '.join(worst)}"] if worst else []
            lines += [f"            {line}" for line in self.pairs()]
        else:
            lines += ["labels      not judged: two classes with two texts each are needed"]
        return [
            *lines,
            f"conflicts   {flags[CONFLICT].sum():,} that stand under two labels, word for word or nearly",
            f"duplicates  {flags[DUPLICATE].sum():,} that repeat another text, word for word or nearly"
            + (f"; {leaks:,} of them one of the validation file" if leaks else ""),
            f"outliers    {flags[OUTLIER].sum():,} that are near no other text",
        ]

    def counts(self) -> np.ndarray:
        """The number of texts by label (row) and the class that they look like, `(num_labels, num_labels)`."""
        return confusion_counts(self.findings.labels, self.findings.looks_like, len(self.names))

    def classes(self) -> list[dict[str, Any]]:
        """The share of labels that look wrong of each class, the largest first."""
        rows = [
            {"label": name, "texts": int(row.sum()), "look wrong": float(1 - row[index] / row.sum())}
            for index, (name, row) in enumerate(zip(self.names, self.counts()))
            if row.any()
        ]
        return sorted(rows, key=lambda row: -row["look wrong"])

    def pairs(self) -> list[str]:
        """Which classes look like which others, in words; those with the most texts first, two at least."""
        return [
            f"{pair.share:.0%} of {pair.true} look like {pair.predicted} ({pair.count} texts): merge them or sharpen "
            "the rule"
            for pair in confused_pairs(self.findings.labels, self.findings.looks_like, self.names)
            if pair.count > 1
        ]
