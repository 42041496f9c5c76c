"""How a training command ends: the predictions, the most confident errors first, and six lines that matter."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import softmax
from scipy.stats import binomtest

from ..evaluation import confused_pairs
from ..support.files import write_csv


PREDICTIONS = "predictions.csv"


def write_predictions(
    folder: Path, texts: Sequence[str], logits: np.ndarray, labels: np.ndarray, names: list[str]
) -> None:
    """
    Writes `predictions.csv`: `text`, `truth`, `prediction` and its `probability`. Errors stand first, the most
    confident one on top; then what is right, the least confident first. The file stays on this machine: `push` leaves
    it out.

    Args:
        folder (`Path`): of the classifier.
        texts (`Sequence[str]`): of the split.
        logits (`np.ndarray` of shape `(texts, num_labels)`): of the classifier.
        labels (`np.ndarray` of shape `(texts,)`): true class ids.
        names (`list[str]`): class names by id.
    """
    probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    predicted = probabilities.argmax(axis=1)
    best = probabilities.max(axis=1)
    is_right = predicted == labels
    order = np.lexsort((np.where(is_right, best, -best), is_right))
    rows = ((texts[row], names[labels[row]], names[predicted[row]], round(float(best[row]), 6)) for row in order)
    write_csv(folder / PREDICTIONS, ["text", "truth", "prediction", "probability"], rows)


def summary_lines(
    folder: Path, logits: np.ndarray, labels: np.ndarray, names: list[str], macro_f1: float
) -> list[str]:
    """The closing lines: accuracy with its 95 % interval, macro F1, what is confused most, where things are."""
    predicted = np.asarray(logits).argmax(axis=1)
    right = int((predicted == labels).sum())
    interval = binomtest(right, len(labels)).proportion_ci(method="wilson")
    pairs = confused_pairs(labels, predicted, names, top=3)
    confused = ", ".join(f"{pair.true} as {pair.predicted} ({pair.count})" for pair in pairs)
    page = folder / "report" / "index.html"
    quoted = shlex.quote(str(folder))
    return [
        f"accuracy   {right / len(labels):.3f} on {len(labels):,} texts (95 % interval {interval.low:.3f} to "
        f"{interval.high:.3f}), macro F1 {macro_f1:.3f}",
        f"confused   {confused or 'nothing'}",
        f"misread    {folder / PREDICTIONS}, the most confident errors first",
        f"report     {page}" if page.is_file() else 'report     none: pip install "hf_lcl[plots]"',
        f"model      {folder}, an ordinary classifier of transformers",
        f"next       hf-lcl predict {quoted} FILE --output_file labelled.csv",
    ]
