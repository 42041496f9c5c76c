"""
Fits the classifier's last layer by logistic regression to the features of a frozen encoder.

Most architectures put a dense layer and an activation (tanh, GELU, ReLU) between the embedding and the last layer. A
new dense layer is random and loses much of the embedding. It is set to a multiple of the identity for which the
activation is nearly linear, so that the last layer reads the embedding, and the architecture is unchanged.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification
from .last_layer import linear_calls
from .unsupported import UnsupportedModelError


# Root mean square of the activation's inputs. At this value, smooth activations are linear.
PROBE_INPUT_RMS = 0.02
# At these they are nearly linear, and the last layer's weights have a size that a usual learning rate changes.
TANH_INPUT_RMS = 0.5
GELU_INPUT_RMS = 0.2
RELU_INPUT_RMS = 0.5
# Inverse strength of the L2 penalty (scikit-learn's C), for features whose mean squared length is 1.
INVERSE_PENALTY = 3.0
# The same for a fit that is averaged with a trained layer (`keep`), whose encoder has learned the texts.
INVERSE_PENALTY_BESIDE_TRAINED = 30.0


class ClassifierHead(NamedTuple):
    """The layer that makes the logits, and the square layer before it, where there is one."""

    output: nn.Linear
    dense: nn.Linear | None


@torch.no_grad()
def find_head(model: LCLForSequenceClassification, inputs: dict[str, Tensor]) -> ClassifierHead:
    """
    Finds the layers that make the logits, whatever their names, by one forward pass of a wrapper in evaluation mode.
    Raises an `UnsupportedModelError` if the logits are not the output of a linear layer.
    """
    layers = [module for module in model.native.modules() if isinstance(module, nn.Linear)]
    calls, logits = linear_calls(layers, partial(_logits, model, inputs))
    while calls and calls[-1].layer.out_features != logits.shape[1]:
        calls.pop()
    if not calls or not torch.allclose(calls[-1].of_texts(logits)[1], logits, atol=1e-4):
        raise UnsupportedModelError(
            f"The logits of {type(model.native).__name__} do not come out of a linear layer, so that it cannot be "
            "fitted by itself: train it with the encoder."
        )
    output = calls.pop().layer
    is_dense = calls and calls[-1].made.dim() == 2 and calls[-1].layer.in_features == calls[-1].layer.out_features
    return ClassifierHead(output, dense=calls[-1].layer if is_dense else None)


@torch.no_grad()
def head_inputs(model: LCLForSequenceClassification, layer: nn.Linear, inputs: dict[str, Tensor]) -> Tensor:
    """The inputs of a linear layer of the head for each text: `(batch, features)`, in fp32."""
    calls, logits = linear_calls([layer], partial(_logits, model, inputs))
    return calls[-1].of_texts(logits)[0]


def _logits(model: LCLForSequenceClassification, inputs: dict[str, Tensor]) -> Tensor:
    # The forward of the class: accelerate wraps that of the instance in autocast, but a fit needs full precision.
    return type(model).forward(model, **inputs).logits.float()


@torch.no_grad()
def linearize(
    model: LCLForSequenceClassification,
    head: ClassifierHead,
    inputs: dict[str, Tensor],
    gather: Callable[[Any], Any] = lambda tensors: tensors,
) -> bool:
    """
    Sets the dense layer of a head so that it and the activation after it are nearly linear, which changes the logits.
    Returns whether the last layer then reads the embedding, as tested on a batch. If not (no dense layer, a frozen
    one, or a normalisation after it), the head is unchanged.
    """
    dense = head.dense
    if dense is None or _is_frozen(dense):
        return False
    before = _copy(dense)
    embedding = head_inputs(model, dense, inputs)
    everybodys = gather(embedding)
    # Rounded to a power of two, so that another batch gives the same.
    sizes = everybodys.square().mean().sqrt(), everybodys.abs().max()
    size, largest = (2 ** number.log2().round().item() for number in sizes)
    # The input size to test, the slope that identifies the activation there, the size to use, and the bias.
    activations = (
        (PROBE_INPUT_RMS, 1.0, TANH_INPUT_RMS, 0.0),
        (PROBE_INPUT_RMS, 0.5, GELU_INPUT_RMS, 0.0),
        (RELU_INPUT_RMS, 1.0, RELU_INPUT_RMS, 4 * largest * RELU_INPUT_RMS / size),
    )
    for tried, slope, used, bias in activations:
        _set_diagonal(dense, tried / size, bias)
        features = head_inputs(model, head.output, inputs)
        # Not all dimensions need to match: in a few, some encoders are ten times as large as in the others.
        is_linear = torch.isclose(features - bias, slope * tried / size * embedding, rtol=0.1, atol=0.01 * tried)
        if gather(is_linear.float()).mean() > 0.95:  # of all processes, whose heads must not differ
            _set_diagonal(dense, used / size, bias)
            return True
    dense.load_state_dict(before)
    return False


def _copy(layer: nn.Linear | None) -> dict[str, Tensor]:
    return {} if layer is None else {name: tensor.clone() for name, tensor in layer.state_dict().items()}


def _is_frozen(layer: nn.Linear) -> bool:
    return not all(parameter.requires_grad for parameter in layer.parameters())


def _set_diagonal(dense: nn.Linear, value: float, bias: float) -> None:
    nn.init.eye_(dense.weight).mul_(value)
    if dense.bias is not None:
        dense.bias.fill_(bias)


def fit_head(
    model: LCLForSequenceClassification,
    batches: Iterable[dict[str, Tensor]],
    *,
    keep: float = 0.0,
    class_weights: list[float] | None = None,
    gather: Callable[[Any], Any] = lambda tensors: tensors,
    description: str = "features",
) -> tuple[Tensor, Tensor]:
    """
    Fits the last layer of the classifier by cross-entropy (logistic regression) on the features of the frozen encoder,
    which reads each text once.

    Args:
        model ([`LCLForSequenceClassification`]): the wrapper; its head is changed in place. It is returned to the mode
            (training or evaluation) that it was in.
        batches (`Iterable[dict[str, torch.Tensor]]`): tokenised texts with `labels`, on the model's device. With
            indicator rows as labels, each class is fitted against the rest.
        keep (`float`, *optional*, defaults to 0.0): weight of the current last layer in its mean with the fitted one.
            If above 0, the layer before it is unchanged.
        class_weights (`list[float]`, *optional*): one per class; with indicator rows, of the texts with the label.
        gather (`Callable`, *optional*): collects a tuple of tensors from all processes.
        description (`str`, *optional*): of the progress bar.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the data of the fit, on the CPU: features `(texts, features)` in fp32 and
        the labels.

    Raises:
        UnsupportedModelError: if the logits are not the output of a linear layer, or it is frozen.
        ValueError: if there are no texts.
    """
    was_training = model.training
    model.eval()
    head: ClassifierHead | None = None
    before: dict[str, Tensor] = {}
    features, labels = [], []
    try:
        for batch in tqdm(batches, desc=description, leave=False):
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            if head is None:
                head = find_head(model, inputs)
                if _is_frozen(head.output):
                    raise UnsupportedModelError("The last layer of the classifier is frozen (requires_grad=False).")
                before = _copy(head.dense)
                if not keep:
                    linearize(model, head, inputs, gather)
            seen, classes = gather((head_inputs(model, head.output, inputs), batch["labels"]))
            features.append(seen.cpu())
            labels.append(classes.cpu())
        if head is None:
            raise ValueError("There are no texts to fit the classifier to.")
        weight, bias = _fit(
            torch.cat(features).double().numpy(),
            torch.cat(labels).numpy(),
            len(class_names(model.config)),
            class_weights,
            with_bias=head.output.bias is not None,
            inverse_penalty=INVERSE_PENALTY_BESIDE_TRAINED if keep else INVERSE_PENALTY,
        )
    except BaseException:  # Ctrl-C and running out of memory too: do not leave a half-changed head
        if head is not None and head.dense is not None and before:
            head.dense.load_state_dict(before)
        raise
    finally:
        model.train(was_training)
    with torch.no_grad():
        for parameter, fitted in ((head.output.weight, weight), (head.output.bias, bias)):
            if parameter is not None:
                parameter.copy_(keep * parameter.double().cpu() + (1 - keep) * torch.from_numpy(fitted))
    return torch.cat(features), torch.cat(labels)


def _fit(
    features: np.ndarray,
    labels: np.ndarray,
    num_labels: int,
    class_weights: list[float] | None,
    with_bias: bool,
    inverse_penalty: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Weight `(num_labels, features)` and bias `(num_labels,)` for class ids, or for rows of 0 and 1."""
    # One scale for all features, so that the penalty has the same effect in all architectures.
    mean = features.mean(axis=0) * with_bias
    scale = np.sqrt(np.square(features - mean).sum(axis=1).mean()).clip(min=1e-12)
    regress = partial(
        _logistic_regression, (features - mean) / scale, with_bias=with_bias, inverse_penalty=inverse_penalty
    )
    if labels.ndim == 1:
        weight, bias = regress(labels, num_labels, class_weights)
    else:  # each class against the rest; one of no text or of all texts gets only a bias
        shares = labels.mean(axis=0)
        weight, bias = np.zeros((num_labels, features.shape[1])), np.where(shares > 0.5, 10.0, -10.0)
        for index in np.flatnonzero((shares > 0) & (shares < 1)):
            weights = None if class_weights is None else [1.0, class_weights[index]]
            rows, constants = regress(labels[:, index].astype(int), 2, weights)
            weight[index], bias[index] = rows[1] - rows[0], constants[1] - constants[0]
    return weight / scale, bias - weight @ mean / scale


def _logistic_regression(
    features: np.ndarray,
    labels: np.ndarray,
    num_labels: int,
    class_weights: list[float] | None,
    with_bias: bool,
    inverse_penalty: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias for class ids; a class without texts gets a low logit."""
    from sklearn.linear_model import LogisticRegression  # a slow import

    present = np.unique(labels)
    weights = None if class_weights is None else {label: class_weights[label] for label in present}
    regression = LogisticRegression(
        C=inverse_penalty, max_iter=1000, fit_intercept=with_bias, class_weight=weights
    ).fit(features, labels)
    rows, constants = regression.coef_, np.broadcast_to(regression.intercept_, len(regression.coef_))
    if len(present) == 2:
        rows, constants = np.concatenate([-rows, rows]) / 2, np.concatenate([-constants, constants]) / 2
    weight = np.zeros((num_labels, features.shape[1]))
    bias = np.full(num_labels, constants.min() - 10)
    weight[present], bias[present] = rows, constants
    return weight, bias
