"""Tests of whether two matrices of label relations agree by more than chance, and of differences of means."""

from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap, permutation_test, spearmanr


RESAMPLES = 9999


class Agreement(NamedTuple):
    """
    Agreement of two matrices of classes by classes.

    Args:
        correlation (`float`): Spearman's ρ over all pairs of classes.
        p_value (`float`): p-value of Mantel's test, which permutes the classes.
    """

    correlation: float
    p_value: float


class Difference(NamedTuple):
    """
    Difference of two means.

    Args:
        mean (`float`): the first mean minus the second.
        low (`float`): lower end of its 95 % confidence interval, by a bootstrap over texts.
        high (`float`): upper end.
        p_value (`float`): p-value of a two-sided permutation test that swaps pairs at random.
    """

    mean: float
    low: float
    high: float
    p_value: float


def agreement(first: np.ndarray, second: np.ndarray, resamples: int = RESAMPLES) -> Agreement:
    """
    Rank correlation of two matrices, with a permutation test that keeps the structure of each matrix.

    Args:
        first (`np.ndarray` of shape `(num_labels, num_labels)`): label relations; the diagonal is ignored, and both
            directions are averaged.
        second (`np.ndarray` of shape `(num_labels, num_labels)`): likewise.
        resamples (`int`, *optional*, defaults to 9999): number of permutations of the classes.
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
    Similarity of the predicted to the true class, for texts that are misclassified.

    Args:
        references (`np.ndarray` of shape `(texts,)`): true class ids.
        predictions (`np.ndarray` of shape `(texts,)`): predicted class ids.
        similarity (`np.ndarray` of shape `(num_labels, num_labels)`): similarity of the classes.

    Returns:
        `np.ndarray` of shape `(texts,)`: NaN where the prediction is right.
    """
    return np.where(references == predictions, np.nan, similarity[references, predictions])


def difference(first: np.ndarray, second: np.ndarray, resamples: int = RESAMPLES) -> Difference:
    """
    Difference of the means of two systems on the same texts.

    Args:
        first (`np.ndarray` of shape `(runs, texts)`): values of the first system; NaN is ignored.
        second (`np.ndarray` of shape `(runs, texts)`): values of the second one.
        resamples (`int`, *optional*, defaults to 9999): number of bootstrap samples, and of permutations.
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
