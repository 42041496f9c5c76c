"""How sure a number is: its 95 % interval over the texts that it was measured on."""

import numpy as np
from scipy.stats import binomtest


RESAMPLES = 1000


def share_interval(hits: int, texts: int) -> tuple[float, float]:
    """
    Wilson's interval of the share `hits / texts`, such as an accuracy.

    Example:

    ```python
    >>> from hf_lcl.evaluation.intervals import share_interval

    >>> tuple(round(end, 3) for end in share_interval(80, 100))
    (0.711, 0.867)
    ```
    """
    found = binomtest(hits, texts).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def metric_intervals(counts: np.ndarray) -> dict[str, tuple[float, float]]:
    """
    The intervals of `accuracy` (Wilson's), `macro_f1` and `weighted_f1` (by drawing the texts anew, 1,000 times).

    Args:
        counts (`np.ndarray` of shape `(num_labels, num_labels)`): from [`confusion_counts`], of at least one text.
    """
    texts, (true, predicted) = int(counts.sum()), np.nonzero(counts)
    drawn = np.random.default_rng(0).multinomial(texts, counts[true, predicted] / texts, size=RESAMPLES)
    classes = np.eye(len(counts))
    support, given = drawn @ classes[true], drawn @ classes[predicted]
    right = drawn @ (classes[true] * (true == predicted)[:, None])
    f1 = 2 * right / (support + given).clip(min=1)
    resampled = {
        "macro_f1": f1.sum(axis=1) / (support + given > 0).sum(axis=1),
        "weighted_f1": (f1 * support).sum(axis=1) / texts,
    }
    intervals = {name: np.percentile(values, [2.5, 97.5]) for name, values in resampled.items()}
    found = {"accuracy": share_interval(int(np.trace(counts)), texts)}
    return found | {name: (float(low), float(high)) for name, (low, high) in intervals.items()}
