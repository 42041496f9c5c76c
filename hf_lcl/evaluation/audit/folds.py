"""Out-of-fold class probabilities, by a classifier that was not trained on the text."""

import warnings

import numpy as np

from ...start.head import INVERSE_PENALTY
from .embedding import on_disk


FOLDS = 5
MOST_TEXTS = 20_000  # a logistic regression learns little from more
BLOCK = 10_000  # rows whose probabilities are computed together


def out_of_fold(
    embeddings: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    rows: np.ndarray | None = None,
    folds: int = FOLDS,
) -> np.ndarray:
    """
    The probabilities `(rows, num_labels)` that a logistic regression gives each text, in float32 in a temporary file.
    It is fitted to the embeddings `(rows, hidden)` of the other folds, 20,000 at most; a class without any gets 0.

    Rows of the same number in `groups` `(rows,)`, such as equal texts, share a fold; with fewer groups than `folds`,
    each is a fold. If `rows` are given, only these are used; they need two classes.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    rng = np.random.default_rng(0)
    rows = np.arange(len(labels)) if rows is None else rows
    labels, groups = labels[rows], groups[rows]
    probabilities = on_disk((len(rows), int(labels.max()) + 1))
    fold_of = assign_folds(labels, groups, rng, folds)
    for fold in range(fold_of.max() + 1):
        fitted = np.sort(rng.permutation(np.flatnonzero(fold_of != fold))[:MOST_TEXTS])
        held_out = np.flatnonzero(fold_of == fold)
        features = embeddings[rows[fitted]].astype(np.float32)
        mean = features.mean(axis=0)
        # Scaled as for the head start, so that the same regularisation strength applies.
        scale = np.sqrt(np.square(features - mean).sum(axis=1).mean()).clip(min=1e-12)
        regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=300, tol=1e-3)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes")  # there may be many small ones
            regression.fit((features - mean) / scale, labels[fitted])
        for start in range(0, len(held_out), BLOCK):
            part = held_out[start : start + BLOCK]
            seen = (embeddings[rows[part]].astype(np.float32) - mean) / scale
            probabilities[part[:, None], regression.classes_] = regression.predict_proba(seen)
    return probabilities


def assign_folds(labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator, number: int = FOLDS) -> np.ndarray:
    """
    The fold of each row, `(rows,)`. The groups of a class are assigned to folds in turn, so that a class with only two
    groups has them in different folds. A group of several classes is assigned with the rarest.
    scikit-learn's StratifiedGroupKFold takes half an hour and gigabytes for a million groups.
    """
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    groups_of_class = np.bincount(pairs[0])
    rarest_first = np.lexsort((groups_of_class[pairs[0]], pairs[1]))
    names, first = np.unique(pairs[1][rarest_first], return_index=True)
    class_of_group = pairs[0][rarest_first][first]
    folds = np.empty(len(names), dtype=np.int64)
    folds[np.lexsort((rng.random(len(names)), class_of_group))] = np.arange(len(names)) % number
    return folds[np.searchsorted(names, groups)]
