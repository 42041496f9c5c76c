"""Whether two opinions of which classes are close agree by more than chance."""

from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap, permutation_test, spearmanr


RESAMPLES = 9999


class Agreement(NamedTuple):
    """
    Of two matrices of classes by classes.

    Args:
        correlation (`float`): Spearman's, over all pairs of classes.
        p_value (`float`): how often classes in random order agree as well (Mantel's test).
    """

    correlation: float
    p_value: float


class Difference(NamedTuple):
    """
    Of two means.

    Args:
        mean (`float`): the first less the second.
        low (`float`): lower end of its 95 % interval, by a bootstrap over texts.
        high (`float`): upper end.
        p_value (`float`): how often a difference of either sign is as large when each pair is swapped at random.
    """

    mean: float
    low: float
    high: float
    p_value: float


def agreement(first: np.ndarray, second: np.ndarray, resamples: int = RESAMPLES) -> Agreement:
    """
    Rank correlation of two matrices, with a permutation test that keeps each matrix's structure.

    Args:
        first (`np.ndarray` of shape `(num_labels, num_labels)`): the diagonal does not count, nor does direction: of
            both directions the mean.
        second (`np.ndarray` of shape `(num_labels, num_labels)`): the same.
        resamples (`int`, *optional*, defaults to 9999): orders of the classes.
    """
    pairs = np.triu_indices(len(first), k=1)
    first, second = first + first.T, second + second.T

    def correlation(order: np.ndarray) -> float:
        return spearmanr(first[pairs], second[np.ix_(order, order)][pairs]).statistic

    test = permutation_test(
        (np.arange(len(first)),),
        correlation,
        permutation_type="pairings",
        vectorized=False,
        n_resamples=resamples,
        alternative="greater",
        random_state=0,
    )
    return Agreement(float(test.statistic), float(test.pvalue))


def closeness_of_mistakes(references: np.ndarray, predictions: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """
    How close the class that a text was given is to its own.

    Args:
        references (`np.ndarray` of shape `(texts,)`): true class ids.
        predictions (`np.ndarray` of shape `(texts,)`): predicted class ids.
        similarity (`np.ndarray` of shape `(num_labels, num_labels)`): of the classes.

    Returns:
        `np.ndarray` of shape `(texts,)`: NaN where the prediction is right.
    """
    return np.where(references == predictions, np.nan, similarity[references, predictions])


def difference(first: np.ndarray, second: np.ndarray, resamples: int = RESAMPLES) -> Difference:
    """
    Of the means of what two systems have for the same texts.

    Args:
        first (`np.ndarray` of shape `(runs, texts)`): NaN where it has nothing.
        second (`np.ndarray` of shape `(runs, texts)`): the same.
        resamples (`int`, *optional*, defaults to 9999): of the texts, and of the swaps.
    """

    def of_means(first: np.ndarray, second: np.ndarray) -> float:
        return np.nanmean(first) - np.nanmean(second)

    interval = bootstrap(
        (np.arange(first.shape[1]),),
        lambda texts: of_means(first[:, texts], second[:, texts]),
        vectorized=False,
        n_resamples=resamples,
        method="percentile",
        random_state=0,
    ).confidence_interval
    test = permutation_test(
        (first.ravel(), second.ravel()),
        of_means,
        permutation_type="samples",
        vectorized=False,
        n_resamples=resamples,
        random_state=0,
    )
    return Difference(float(test.statistic), float(interval.low), float(interval.high), float(test.pvalue))
