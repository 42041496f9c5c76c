"""How well the probabilities of a classifier are calibrated, and temperature scaling to calibrate them."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from transformers import PreTrainedConfig, PreTrainedModel

from ..start.last_layer import scale_logits


NUM_BINS = 15


@dataclass(frozen=True)
class ReliabilityBins:
    """
    Texts by the probability of their predicted class, in bins of equal width.

    Args:
        edges (`np.ndarray` of shape `(bins + 1,)`): from 0 to 1.
        counts (`np.ndarray` of shape `(bins,)`): number of texts.
        confidence (`np.ndarray` of shape `(bins,)`): their mean probability; NaN in an empty bin.
        accuracy (`np.ndarray` of shape `(bins,)`): the share that is classified correctly; NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: the mean absolute difference of accuracy and confidence over the texts."""
        filled = self.counts > 0
        return float(np.average(np.abs(self.accuracy - self.confidence)[filled], weights=self.counts[filled]))


def reliability_bins(
    logits: np.ndarray, references: np.ndarray, temperature: float = 1.0, bins: int = NUM_BINS
) -> ReliabilityBins:
    """
    Confidence against accuracy.

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): before the softmax.
        references (`np.ndarray` of shape `(rows,)`): true class ids; or rows of 0 and 1 `(rows, num_labels)`, each
            entry of which is a binary decision.
        temperature (`float`, *optional*, defaults to 1.0): divides the logits.
        bins (`int`, *optional*, defaults to 15): number of bins.

    Raises:
        ValueError: without texts.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation import reliability_bins

    >>> logits = np.log([[0.8, 0.2], [0.8, 0.2]])
    >>> round(reliability_bins(logits, np.array([0, 1])).calibration_error, 6)
    0.3
    ```
    """
    logits, references = _decisions(logits, references)
    probabilities = softmax(logits / temperature, axis=1)
    confidence, correct = probabilities.max(axis=1), (probabilities.argmax(axis=1) == references).astype(float)
    edges = np.linspace(0, 1, bins + 1)
    counts, sums, hits = (np.histogram(confidence, edges, weights=of)[0] for of in (None, confidence, correct))
    with np.errstate(invalid="ignore"):  # 0 / 0
        return ReliabilityBins(edges, counts, sums / counts, hits / counts)


def _decisions(logits: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits in float64 and class ids; for rows of 0 and 1, those of one binary decision per text and label."""
    logits = np.asarray(logits, dtype=np.float64)
    if not len(logits):
        raise ValueError("There are no texts to measure calibration on, or to fit a temperature on.")
    if np.ndim(references) == 1:
        return logits, references
    return np.stack([np.zeros(logits.size), logits.ravel()], axis=1), np.ravel(references).astype(int)


def expected_calibration_error(
    logits: np.ndarray, references: np.ndarray, temperature: float = 1.0, bins: int = NUM_BINS
) -> float:
    """The mean difference of confidence and accuracy, from 0 (best) to 1; arguments as in [`reliability_bins`]."""
    return reliability_bins(logits, references, temperature, bins).calibration_error


def fit_temperature(logits: np.ndarray, references: np.ndarray) -> float:
    """
    The temperature for which the logits divided by it have the lowest cross-entropy. Predictions stay the same.

    [Paper](https://huggingface.co/papers/1706.04599). Fit it on texts that the model is neither trained nor tested on.

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): before the softmax.
        references (`np.ndarray` of shape `(rows,)`): true class ids.

    Returns:
        `float`: from 0.01 to 100, above 1 for an overconfident classifier. 1.0 if all texts are classified correctly,
        since lower temperatures are then always better.

    Raises:
        ValueError: without texts.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation import fit_temperature

    >>> logits = np.array([[4.0, 0.0]] * 4)  # right three times out of four, and 98% sure
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 3)
    3.641
    ```
    """
    logits, references = _decisions(logits, references)
    if not np.ptp(logits, axis=1).any() or (logits.argmax(axis=1) == references).all():
        return 1.0  # all temperatures are equally good, or the lower the better

    def cross_entropy(exponent: float) -> float:
        return -log_softmax(logits / np.exp(exponent), axis=1)[np.arange(len(logits)), references].mean()

    bounds = np.log([0.01, 100.0])
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def fold_temperature(classifier: PreTrainedModel, temperature: float) -> None:
    """
    Divides the last layer of a classifier by `temperature`, so that the saved model gives calibrated probabilities.
    Predictions stay the same (in half precision, up to the rounding of the layer). Its configuration stores the number
    by which all logits were divided so far as `folded_temperature`.

    Args:
        classifier (`PreTrainedModel`): a sequence classifier that ends in a `nn.Linear`, which is changed in place.
        temperature (`float`): from [`fit_temperature`].

    Raises:
        ValueError: if there is no such layer, or `temperature` is not positive.

    Example:

    ```python
    >>> from hf_lcl.evaluation import fold_temperature

    >>> fold_temperature(classifier, 1.7)
    >>> classifier.save_pretrained("runs/feelings")
    ```
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive.")
    scale_logits(classifier, 1 / temperature)
    classifier.config.folded_temperature = temperature * folded_temperature(classifier.config)


def folded_temperature(config: PreTrainedConfig) -> float:
    """The number by which [`fold_temperature`] divided the logits of a classifier; 1.0 if it did not."""
    return getattr(config, "folded_temperature", None) or 1.0
