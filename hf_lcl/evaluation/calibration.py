"""How far a classifier's probabilities can be trusted, and one number that makes them better."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


BINS = 15


@dataclass(frozen=True)
class ReliabilityBins:
    """
    Texts by the probability of their predicted class, in bins of equal width.

    Args:
        edges (`np.ndarray` of shape `(bins + 1,)`): from 0 to 1.
        counts (`np.ndarray` of shape `(bins,)`): number of texts.
        confidence (`np.ndarray` of shape `(bins,)`): their mean probability; NaN in an empty bin.
        accuracy (`np.ndarray` of shape `(bins,)`): share of them that is classified correctly; NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def calibration_error(self) -> float:
        """Mean distance of accuracy and confidence over the texts (expected calibration error)."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability_bins(
    logits: np.ndarray, references: np.ndarray, temperature: float = 1.0, bins: int = BINS
) -> ReliabilityBins:
    """
    Confidence against accuracy.

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): before the softmax.
        references (`np.ndarray` of shape `(rows,)`): true class ids.
        temperature (`float`, *optional*, defaults to 1.0): divides the logits.
        bins (`int`, *optional*, defaults to 15): number of bins.

    Returns:
        [`ReliabilityBins`]

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
    if len(logits) == 0:
        raise ValueError("There are no texts to measure calibration on.")
    probabilities = torch.from_numpy(np.asarray(logits, dtype=np.float64) / temperature).softmax(dim=1).numpy()
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    edges = np.linspace(0, 1, bins + 1)
    rows = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    counts = np.bincount(rows, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as it should be
        return ReliabilityBins(
            edges,
            counts,
            np.bincount(rows, weights=confidence, minlength=bins) / counts,
            np.bincount(rows, weights=correct, minlength=bins) / counts,
        )


def expected_calibration_error(
    logits: np.ndarray, references: np.ndarray, temperature: float = 1.0, bins: int = BINS
) -> float:
    """
    By how much the probability of the predicted class misses the share of correct predictions, on average.

    [Paper](https://huggingface.co/papers/1706.04599).

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): before the softmax.
        references (`np.ndarray` of shape `(rows,)`): true class ids.
        temperature (`float`, *optional*, defaults to 1.0): divides the logits.
        bins (`int`, *optional*, defaults to 15): number of bins.

    Returns:
        `float`: from 0 to 1; 0 is perfect.
    """
    return reliability_bins(logits, references, temperature, bins).calibration_error


def fit_temperature(logits: np.ndarray, references: np.ndarray) -> float:
    """
    The number that logits have to be divided by for the lowest cross-entropy. Predictions stay the same.

    [Paper](https://huggingface.co/papers/1706.04599). Fit it on texts that the model was neither trained nor is tested
    on.

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): before the softmax.
        references (`np.ndarray` of shape `(rows,)`): true class ids.

    Returns:
        `float`: above 1 for a classifier that is too sure of itself; from 0.01 to 100.

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
    if len(logits) == 0:
        raise ValueError("There are no texts to fit the temperature on.")
    scores = torch.as_tensor(np.asarray(logits), dtype=torch.float64)
    targets = torch.as_tensor(np.asarray(references), dtype=torch.long)
    # Its logarithm, of which no value is forbidden.
    exponent = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([exponent], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(scores * torch.exp(-exponent), targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    # Where all texts are classified correctly the best temperature is 0, and where all logits are equal there is none.
    return float(exponent.detach().exp().clamp(0.01, 100))


@torch.no_grad()
def fold_temperature(classifier: PreTrainedModel, temperature: float) -> None:
    """
    Divides the logits of a classifier by `temperature` for good, inside its last layer: whoever loads the model gets
    the calibrated probabilities. Predictions stay the same (in half precision, up to the rounding of the layer).

    Args:
        classifier (`PreTrainedModel`): any sequence classifier whose logits come out of a `nn.Linear`, which is
            changed in place.
        temperature (`float`): as from [`fit_temperature`].

    Raises:
        ValueError: if there is no such layer, or `temperature` is not positive.

    Example:

    ```python
    >>> from transformers import AutoModelForSequenceClassification
    >>> from hf_lcl.evaluation import fold_temperature

    >>> classifier = AutoModelForSequenceClassification.from_pretrained("runs/feelings")
    >>> fold_temperature(classifier, 1.7)
    >>> classifier.save_pretrained("runs/feelings")
    ```
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive.")
    layer = _output_layer(classifier)
    for parameter in layer.parameters():
        parameter.copy_(parameter.double() / temperature)


def _output_layer(classifier: PreTrainedModel) -> nn.Linear:
    num_labels = classifier.config.num_labels
    layers = [
        module
        for module in classifier.modules()
        if isinstance(module, nn.Linear) and module.out_features == num_labels
    ]
    if not layers:
        raise ValueError(
            f"{type(classifier).__name__} has no linear layer with {num_labels} outputs, one per class, that a "
            "temperature could be folded into: divide its logits by the temperature instead."
        )
    return layers[-1]
