"""Which classes a classifier confuses, and how well it does on each of them."""

from typing import NamedTuple

import numpy as np


NOTHING = "(nothing)"
# With more classes than the first number, a matrix shows only the second number, those with the most errors.
MOST_CLASSES_IN_MATRIX, CLASSES_OF_SUBMATRIX = 30, 20


class ConfusedPair(NamedTuple):
    """
    Two classes and how often one was predicted for the other.

    Args:
        true (`str`): the true class of the texts.
        predicted (`str`): the class that was predicted.
        count (`int`): number of texts.
        share (`float`): of the texts of class `true`, from 0 to 1.
    """

    true: str
    predicted: str
    count: int  # type: ignore[assignment]  # hides `tuple.count`
    share: float


def confusion_counts(references: np.ndarray, predictions: np.ndarray, num_labels: int) -> np.ndarray:
    """The number of texts of each true class (row) by predicted class (column), `(num_labels, num_labels)`."""
    pairs = np.asarray(references) * num_labels + np.asarray(predictions)
    return np.bincount(pairs, minlength=num_labels**2).reshape(num_labels, num_labels)


def most_confused(counts: np.ndarray, top: int) -> list[int]:
    """The ids of the classes with the most errors (false negatives and false positives), the most first."""
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    return np.argsort(-errors, kind="stable")[:top].tolist()


def shown_in_matrix(counts: np.ndarray, order: list[int]) -> list[int]:
    """The classes in `order`; if there are many, only those with the most errors."""
    if len(order) <= MOST_CLASSES_IN_MATRIX:
        return order
    worst = most_confused(counts, CLASSES_OF_SUBMATRIX)
    return [label for label in order if label in worst]


def confused_pairs(
    references: np.ndarray, predictions: np.ndarray, names: list[str], top: int = 5
) -> list[ConfusedPair]:
    """
    The most frequent errors.

    Args:
        references (`np.ndarray` of shape `(rows,)`): true class ids; or rows of 0 and 1 `(rows, num_labels)`.
        predictions (`np.ndarray` of shape `(rows,)`): predicted class ids, or rows of 0 and 1. With several labels, a
            pair is a missed label and a wrong one of the same text, or `NOTHING` if it has no wrong one.
        names (`list[str]`): class names by id.
        top (`int`, *optional*, defaults to 5): the largest number of pairs.

    Returns:
        `list[ConfusedPair]`: most frequent first, then by class id; pairs that do not occur are left out.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation import confused_pairs

    >>> confused_pairs(np.array([0, 0, 1]), np.array([0, 1, 1]), ["sad", "lonely"])
    [ConfusedPair(true='sad', predicted='lonely', count=1, share=0.5)]
    ```
    """
    if np.ndim(references) == 2:
        true, given = np.asarray(references) > 0, np.asarray(predictions) > 0
        missed, added = (true & ~given).astype(int), (given & ~true).astype(int)
        # Rows are missed labels, columns are wrong ones; the last column counts texts without a wrong label.
        counts = missed.T @ np.column_stack([added, added.sum(axis=1) == 0])
        rows, names = true.sum(axis=0), [*names, NOTHING]
    else:
        counts = confusion_counts(references, predictions, len(names))
        rows = counts.sum(axis=1)
        np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:top]
    return [
        ConfusedPair(names[true], names[predicted], count, count / int(rows[true]))
        for true, predicted in zip(*np.unravel_index(order, counts.shape))
        if (count := int(counts[true, predicted])) > 0
    ]


def per_class_table(references: np.ndarray, predictions: np.ndarray, names: list[str]) -> list[dict[str, str | float]]:
    """
    One row per class with `label`, `precision`, `recall`, `f1` and `support`; arguments as in
    [`confused_pairs`]. A class that is never predicted has precision and F1 0.
    """
    from sklearn.metrics import precision_recall_fscore_support  # takes a second to import

    ids = range(len(names))
    columns = precision_recall_fscore_support(
        np.asarray(references).astype(int), np.asarray(predictions).astype(int), labels=ids, zero_division=0
    )
    keys = ("label", "precision", "recall", "f1", "support")
    return [dict(zip(keys, row)) for row in zip(names, *(column.tolist() for column in columns))]
