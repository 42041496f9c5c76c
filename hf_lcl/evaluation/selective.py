"""Which answers to trust and which to leave to a person: accuracy over the share of texts that are answered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax


WANTED = (0.8, 0.9, 0.95, 0.98, 0.99)  # accuracies of the answers


@dataclass(frozen=True)
class RiskCoverage:
    """
    What is reached by answering the surest texts alone; the first row answers the fewest.

    Args:
        cuts (`np.ndarray` of shape `(cuts,)`): the least probability of an answer.
        coverage (`np.ndarray` of shape `(cuts,)`): the share of texts that are answered.
        accuracy (`np.ndarray` of shape `(cuts,)`): of the answers.
    """

    cuts: np.ndarray
    coverage: np.ndarray
    accuracy: np.ndarray

    @property
    def area(self) -> float:
        """The area under the share of wrong answers over the share of answered texts (AURC): lower is better."""
        widths = np.diff(self.coverage, prepend=0.0)
        return float(((1 - self.accuracy) * widths).sum())

    def cut_for(self, accuracy: float) -> float | None:
        """The cut that answers most texts with this accuracy, rounded down; `None` where no cut reaches it."""
        reached = np.flatnonzero(self.accuracy >= accuracy - 1e-12)
        return float(np.floor(self.cuts[reached[-1]] * 1e4) / 1e4) if len(reached) else None


def risk_coverage(logits: np.ndarray, references: np.ndarray) -> RiskCoverage:
    """
    The curve of a classifier.

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): before the softmax.
        references (`np.ndarray` of shape `(rows,)`): true class ids.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation.selective import risk_coverage

    >>> curve = risk_coverage(np.log([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 0, 0]))
    >>> curve.accuracy.round(2), curve.cut_for(1.0)
    (array([1.  , 1.  , 0.67]), 0.7)
    ```
    """
    probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    # Texts of one probability are answered together.
    ends = np.flatnonzero(np.append(np.diff(confidence) != 0, True))
    numbers = ends + 1
    return RiskCoverage(confidence[ends], numbers / len(right), right.cumsum()[ends] / numbers)


def cut_table(
    chosen_on: RiskCoverage, logits: np.ndarray, references: np.ndarray, wanted: tuple[float, ...] = WANTED
) -> list[dict[str, Any]]:
    """
    For each wanted accuracy that is higher than that of all answers and is reached: the cut (`reject_below`), and what
    it does to other texts: the share that is `answered`, and the `accuracy` of these answers.
    """
    probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    right = probabilities.argmax(axis=1) == references
    rows = []
    for accuracy in wanted:
        cut = chosen_on.cut_for(accuracy) if accuracy > chosen_on.accuracy[-1] else None
        answered = probabilities.max(axis=1) >= (2 if cut is None else cut)
        if answered.any():
            shares = {"answered": float(answered.mean()), "accuracy": float(right[answered].mean())}
            rows.append({"wanted": accuracy, "reject_below": cut, **shares})
    return rows
