"""Predictions from the logits of a classifier: one class per text or, with several labels, any number of them."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, softmax


SEPARATOR = "|"  # between the labels of a text in a table


def probabilities(logits: np.ndarray, several: bool) -> np.ndarray:
    """Softmax or, with several labels, sigmoid of the logits, in float64, `(texts, num_labels)`."""
    logits = np.asarray(logits, dtype=np.float64)
    return expit(logits) if several else softmax(logits, axis=1)


def decided(logits: np.ndarray, several: bool) -> np.ndarray:
    """
    The likeliest class of each text `(texts,)`; with several labels, whether the probability of each is above 0.5,
    `(texts, num_labels)` of dtype bool, as in a pipeline with `top_k=None`.
    """
    logits = np.asarray(logits)
    return logits > 0 if several else logits.argmax(axis=-1)


def is_right(predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Whether the class, or all labels, of each text are predicted correctly, `(texts,)`."""
    return (np.asarray(predictions) == references).reshape(len(references), -1).all(axis=1)


def label_text(labels: np.ndarray | int, names: Sequence[str]) -> str:
    """The name of a class id, or the names of the labels that are 1 in a row."""
    if np.ndim(labels) == 0:
        return names[int(labels)]
    return SEPARATOR.join(names[index] for index in np.flatnonzero(labels).tolist())


def check_goal(goal: str) -> float | None:
    """The requested precision, or `None` for the best F1; raises a `ValueError` for any other goal."""
    name, _, number = goal.partition("=")
    if goal == "f1":
        return None
    try:
        precision = float(number)
    except ValueError:
        precision = 0.0
    if name != "precision" or not 0 < precision < 1:
        raise ValueError(f"fold_thresholds={goal!r} is unknown: use f1, or a precision, such as precision=0.9.")
    return precision
