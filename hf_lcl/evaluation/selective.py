"""Selective classification: the accuracy of the answers by the share of texts that are answered."""

from dataclasses import dataclass

import numpy as np

from .decisions import probabilities


WANTED = (0.8, 0.9, 0.95, 0.98, 0.99)  # accuracies of the answers


@dataclass(frozen=True)
class RiskCoverage:
    """Coverage and accuracy if only texts above a cut are answered, in arrays `(cuts,)`, from the highest cut."""

    cuts: np.ndarray  # the lowest probability that is answered
    coverage: np.ndarray  # the share of texts that are answered
    accuracy: np.ndarray  # of the answers

    @property
    def area(self) -> float:
        """The area under the curve of error rate by coverage (AURC): lower is better."""
        widths = np.diff(self.coverage, prepend=0.0)
        return float(((1 - self.accuracy) * widths).sum())

    def cut_for(self, accuracy: float) -> float | None:
        """The cut with the highest coverage at this accuracy, rounded down; `None` if no cut reaches it."""
        reached = np.flatnonzero(self.accuracy >= accuracy - 1e-12)
        return float(np.floor(self.cuts[reached[-1]] * 1e4) / 1e4) if len(reached) else None


def risk_coverage(logits: np.ndarray, references: np.ndarray) -> RiskCoverage:
    """The curve of a classifier from its logits `(rows, num_labels)` and the true class ids `(rows,)`."""
    found = probabilities(logits, several=False)
    confidence, right = found.max(axis=1), found.argmax(axis=1) == references
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    # Texts of equal probability are answered together.
    ends = np.flatnonzero(np.append(np.diff(confidence) != 0, True))
    numbers = ends + 1
    return RiskCoverage(confidence[ends], numbers / len(right), right.cumsum()[ends] / numbers)


def cut_table(
    chosen_on: RiskCoverage, measured: RiskCoverage, wanted: tuple[float, ...] = WANTED
) -> list[dict[str, float]]:
    """
    One row per wanted accuracy that is above the overall accuracy and is reached: the cut (`reject_below`) that is
    chosen on the first curve and, measured on the second, the share `answered` and the `accuracy` of these answers.
    """
    rows = []
    for accuracy in wanted:
        cut = chosen_on.cut_for(accuracy) if accuracy > chosen_on.accuracy[-1] else None
        if cut is not None and cut <= measured.cuts[0]:
            last = np.flatnonzero(measured.cuts >= cut)[-1]
            shares = {"answered": float(measured.coverage[last]), "accuracy": float(measured.accuracy[last])}
            rows.append({"wanted": accuracy, "reject_below": cut, **shares})
    return rows
