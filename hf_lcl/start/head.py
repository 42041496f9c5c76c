"""
The classifier's last layer, fitted in one go to what a frozen encoder says of the training texts.

Most architectures put a dense layer and an activation (tanh, GELU, ReLU) between the embedding and the last layer. A
new dense layer is random and loses much of the embedding. It is set to a multiple of the identity for which the
activation is nearly linear: the last layer then sees the embedding, and the architecture stays what it is.
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


# Root mean square of the activation's inputs. At this one, smooth activations are linear, and known by their slope ...
PROBE_INPUT_RMS = 0.02
# ... and at these they are nearly so, while the last layer's weights have a size that a usual learning rate changes.
TANH_INPUT_RMS = 0.5
GELU_INPUT_RMS = 0.2
RELU_INPUT_RMS = 0.5
# Inverse strength of the L2 penalty (scikit-learn's C), for features whose mean squared length is 1.
INVERSE_PENALTY = 3.0
# The same in a mean with a layer that was trained, by an encoder that has learned the texts.
INVERSE_PENALTY_BESIDE_TRAINED = 30.0


class ClassifierHead(NamedTuple):
    """The layer that makes the logits, and the square layer before it, where there is one."""

    output: nn.Linear
    dense: nn.Linear | None


@torch.no_grad()
def find_head(model: LCLForSequenceClassification, inputs: dict[str, Tensor]) -> ClassifierHead:
    """
    Looks at one forward pass of a wrapper in evaluation mode to see which layers make the logits, whatever the
    architecture calls them. Raises a `ValueError` if the logits do not come out of a linear layer.
    """
    layers = [module for module in model.native.modules() if isinstance(module, nn.Linear)]
    calls, logits = linear_calls(layers, partial(_logits, model, inputs))
    while calls and calls[-1].layer.out_features != logits.shape[1]:
        calls.pop()
    if not calls or not torch.allclose(calls[-1].of_texts(logits)[1], logits, atol=1e-4):
        raise ValueError(
            f"The logits of {type(model.native).__name__} do not come out of a linear layer, so that it cannot be "
            "fitted by itself: train it with the encoder."
        )
    output = calls.pop().layer
    is_dense = calls and calls[-1].made.dim() == 2 and calls[-1].layer.in_features == calls[-1].layer.out_features
    return ClassifierHead(output, dense=calls[-1].layer if is_dense else None)


@torch.no_grad()
def head_inputs(model: LCLForSequenceClassification, layer: nn.Linear, inputs: dict[str, Tensor]) -> Tensor:
    """What a linear layer of the head is given for each text: `(batch, features)`, in fp32."""
    calls, logits = linear_calls([layer], partial(_logits, model, inputs))
    return calls[-1].of_texts(logits)[0]


def _logits(model: LCLForSequenceClassification, inputs: dict[str, Tensor]) -> Tensor:
    # The forward of the class: accelerate puts autocast around that of the instance, and a fit wants all digits.
    return type(model).forward(model, **inputs).logits.float()


@torch.no_grad()
def linearize(
    model: LCLForSequenceClassification,
    head: ClassifierHead,
    inputs: dict[str, Tensor],
    gather: Callable[[Any], Any] = lambda tensors: tensors,
) -> bool:
    """
    Sets the dense layer of a head so that it and the activation after it are nearly linear; logits change. Whether the
    last layer then sees the embedding is seen on a batch and returned. If not (no dense layer, a frozen one, or a
    normalisation behind it), the head is as it was.
    """
    dense = head.dense
    if dense is None or _is_frozen(dense):
        return False
    before = _copy(dense)
    embedding = head_inputs(model, dense, inputs)
    everybodys = gather(embedding)
    # To a power of two, so that another batch gives the same.
    sizes = everybodys.square().mean().sqrt(), everybodys.abs().max()
    size, largest = (2 ** number.log2().round().item() for number in sizes)
    # The size that is tried, the slope that the activation then has, the size that is used if it has, and the bias.
    activations = (
        (PROBE_INPUT_RMS, 1.0, TANH_INPUT_RMS, 0.0),
        (PROBE_INPUT_RMS, 0.5, GELU_INPUT_RMS, 0.0),
        (RELU_INPUT_RMS, 1.0, RELU_INPUT_RMS, 4 * largest * RELU_INPUT_RMS / size),
    )
    for tried, slope, used, bias in activations:
        _set_diagonal(dense, tried / size, bias)
        features = head_inputs(model, head.output, inputs)
        # All but the few dimensions in which some encoders are ten times as large as in the others.
        is_linear = torch.isclose(features - bias, slope * tried / size * embedding, rtol=0.1, atol=0.01 * tried)
        if is_linear.float().mean() > 0.95:
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
        model ([`LCLForSequenceClassification`]): the wrapper; its head is changed in place, and left in the mode
            (training or evaluation) that it is in.
        batches (`Iterable[dict[str, torch.Tensor]]`): tokenised texts with `labels`, on the model's device. Where
            these are rows of 0 and 1, each class is fitted against the rest.
        keep (`float`, *optional*, defaults to 0.0): share of the last layer as it is in a mean with the fitted one; if
            any, the layer before it stays as it is.
        class_weights (`list[float]`, *optional*): one number per class; against the rest, that of the texts of it.
        gather (`Callable`, *optional*): collects a tuple of tensors from all processes.
        description (`str`, *optional*): of the progress bar.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: what it was fitted to, on the CPU: features `(texts, features)` in fp32
        and the labels.

    Raises:
        ValueError: if the logits do not come out of a linear layer, or out of a frozen one.
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
                    raise ValueError("The last layer of the classifier is frozen (requires_grad=False).")
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
    except BaseException:  # Ctrl-C and a full device too: a head that is half changed would be neither old nor new
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
    # One scale for all architectures, so that the penalty means the same; the features' own proportions stay.
    mean = features.mean(axis=0) * with_bias
    scale = np.sqrt(np.square(features - mean).sum(axis=1).mean()).clip(min=1e-12)
    regress = partial(
        _logistic_regression, (features - mean) / scale, with_bias=with_bias, inverse_penalty=inverse_penalty
    )
    if labels.ndim == 1:
        weight, bias = regress(labels, num_labels, class_weights)
    else:  # each class against the rest; one of no text, or of all, is a bias alone
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
    from sklearn.linear_model import LogisticRegression  # takes a second that other trainings need not pay

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
