"""95 % confidence intervals of metrics over the texts that they were measured on."""

import numpy as np


RESAMPLES = 1000
DRAWS_OF_TEXTS = 200  # fewer resamples, since each stores one number per text


def share_interval(hits: int, texts: int) -> tuple[float, float]:
    """Wilson's interval of the share `hits / texts`, such as an accuracy: 0.711 to 0.867 of 80 out of 100."""
    from scipy.stats import binomtest  # takes a second to import

    found = binomtest(hits, texts).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def metric_intervals(counts: np.ndarray) -> dict[str, tuple[float, float]]:
    """
    The intervals of `accuracy` (Wilson's), `macro_f1` and `weighted_f1` (bootstrap over the texts, 1,000 resamples),
    from the [`confusion_counts`] of at least one text.
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
    return {"accuracy": share_interval(int(np.trace(counts)), texts)} | _ends(resampled)


def _ends(resampled: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """The central 95 % interval of the values of each metric."""
    ends = {name: np.percentile(values, [2.5, 97.5]) for name, values in resampled.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def several_labels_intervals(logits: np.ndarray, references: np.ndarray) -> dict[str, tuple[float, float]]:
    """
    The intervals of [`classification_metrics`] for several labels per text: Wilson's for `subset_accuracy`, else by a
    bootstrap over the texts with 200 resamples.
    """
    texts, given, true = len(logits), logits > 0, references > 0
    drawn = np.random.default_rng(0).multinomial(texts, np.full(texts, 1 / texts), size=DRAWS_OF_TEXTS).astype(float)
    right, support, num_given = (drawn @ rows for rows in (given & true, true, given))
    f1 = 2 * right / (support + num_given).clip(min=1)
    precisions = [
        _average_precision(drawn, logits[:, label], true[:, label]) for label in np.nonzero(true.any(axis=0))[0]
    ]
    resampled = {
        "micro_f1": 2 * right.sum(axis=1) / (support + num_given).sum(axis=1).clip(min=1),
        "macro_f1": f1.mean(axis=1),
        "weighted_f1": (f1 * support).sum(axis=1) / support.sum(axis=1).clip(min=1),
        "hamming_loss": drawn @ (given != true).mean(axis=1) / texts,
        "mean_average_precision": np.nanmean(precisions, axis=0) if precisions else np.zeros(DRAWS_OF_TEXTS),
    }
    return {"subset_accuracy": share_interval(int((given == true).all(axis=1).sum()), texts)} | _ends(resampled)


def _average_precision(drawn: np.ndarray, scores: np.ndarray, is_true: np.ndarray) -> np.ndarray:
    """The average precision of one label in each resample; NaN if no text of the resample has it."""
    order = np.argsort(-scores, kind="stable")
    # Texts of equal score are found together.
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    times = drawn[:, order]
    hits = (times * is_true[order]).cumsum(axis=1)[:, ends]
    precision = hits / times.cumsum(axis=1)[:, ends].clip(min=1)
    with np.errstate(invalid="ignore"):
        return (np.diff(hits, prepend=0, axis=1) * precision).sum(axis=1) / hits[:, -1]
