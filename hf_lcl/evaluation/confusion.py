"""Which classes a classifier takes for one another."""

from typing import NamedTuple

import numpy as np

from .metrics import load_metric


class ConfusedPair(NamedTuple):
    """
    Two classes and how often one was predicted for the other.

    Args:
        true (`str`): the class that the texts have.
        predicted (`str`): the class that they were given.
        count (`int`): number of texts.
        share (`float`): of the texts of class `true`, from 0 to 1.
    """

    true: str
    predicted: str
    count: int
    share: float


def confusion_counts(references: np.ndarray, predictions: np.ndarray, num_labels: int) -> np.ndarray:
    """How many texts of each class (row) are given which class (column), `(num_labels, num_labels)`."""
    pairs = np.asarray(references) * num_labels + np.asarray(predictions)
    return np.bincount(pairs, minlength=num_labels**2).reshape(num_labels, num_labels)


def confused_pairs(
    references: np.ndarray, predictions: np.ndarray, names: list[str], top: int = 5
) -> list[ConfusedPair]:
    """
    The most frequent errors.

    Args:
        references (`np.ndarray` of shape `(rows,)`): true class ids.
        predictions (`np.ndarray` of shape `(rows,)`): predicted class ids.
        names (`list[str]`): class names by id.
        top (`int`, *optional*, defaults to 5): how many pairs at the most.

    Returns:
        `list[ConfusedPair]`: most frequent first; fewer than `top` where fewer kinds of errors occur.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation import confused_pairs

    >>> confused_pairs(np.array([0, 0, 1]), np.array([0, 1, 1]), ["sad", "lonely"])
    [ConfusedPair(true='sad', predicted='lonely', count=1, share=0.5)]
    ```
    """
    counts = confusion_counts(references, predictions, len(names))
    rows = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:top]
    pairs = zip(*np.unravel_index(order, counts.shape))
    return [
        ConfusedPair(names[true], names[predicted], int(counts[true, predicted]), counts[true, predicted] / rows[true])
        for true, predicted in pairs
        if counts[true, predicted] > 0
    ]


def per_class_table(references: np.ndarray, predictions: np.ndarray, names: list[str]) -> list[dict[str, str | float]]:
    """
    Precision, recall, F1 and support of each class.

    Args:
        references (`np.ndarray` of shape `(rows,)`): true class ids.
        predictions (`np.ndarray` of shape `(rows,)`): predicted class ids.
        names (`list[str]`): class names by id.

    Returns:
        `list[dict]`: one row per class with `label`, `precision`, `recall`, `f1` and `support`.
    """
    columns = load_metric("per_class").compute(predictions=predictions, references=references, num_labels=len(names))
    return [{"label": name, **{key: column[row] for key, column in columns.items()}} for row, name in enumerate(names)]
