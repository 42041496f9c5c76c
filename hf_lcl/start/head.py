"""
The classifier's last layer, fitted in one go to what a frozen encoder says of the training texts.

Most architectures put a dense layer and an activation (tanh, GELU, ReLU) between the embedding and the last layer. A
new dense layer is random and loses much of the embedding. It is set to a multiple of the identity for which the
activation is nearly linear: the last layer then sees the embedding, and the architecture stays what it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification


# Root mean square of the activation's inputs. At this one, smooth activations are linear, and known by their slope ...
PROBE_INPUT_RMS = 0.02
# ... and at these they are nearly so, while the last layer's weights have a size that a usual learning rate changes.
TANH_INPUT_RMS = 0.5
GELU_INPUT_RMS = 0.2
RELU_INPUT_RMS = 0.5
# Inverse strength of the L2 penalty (scikit-learn's C), for features whose mean squared length is 1.
INVERSE_PENALTY = 3.0


@dataclass
class ClassifierHead:
    """
    The end of a native classifier.

    Args:
        output (`nn.Linear`): the layer that makes the logits.
        dense (`nn.Linear`, *optional*): the square layer before it, where there is one.
    """

    output: nn.Linear
    dense: nn.Linear | None = None


@torch.no_grad()
def find_head(model: LCLForSequenceClassification, inputs: dict[str, Tensor]) -> ClassifierHead:
    """
    Looks at one forward pass to see which layers make the logits, whatever the architecture calls them.

    Args:
        model ([`LCLForSequenceClassification`]): the wrapper, in evaluation mode.
        inputs (`dict[str, torch.Tensor]`): a batch.

    Raises:
        ValueError: if the logits do not come out of a linear layer.
    """
    called: list[tuple[nn.Linear, Tensor]] = []
    layers = [module for module in model.native.modules() if isinstance(module, nn.Linear)]

    def remember(layer: nn.Linear, _: tuple, output: Any) -> None:
        if isinstance(output, Tensor):  # routers of experts are linear layers with other outputs
            called.append((layer, output))

    hooks = [layer.register_forward_hook(remember) for layer in layers]
    try:
        _logits(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    while called and called[-1][0].out_features != model.config.num_labels:
        called.pop()
    output = called.pop()[0] if called else None
    if output is None or not _passes_through(model, output, inputs):
        raise ValueError(
            f"The logits of {type(model.native).__name__} do not come out of a linear layer, so that it cannot be "
            "fitted by itself: train it with the encoder."
        )
    is_dense = called and called[-1][1].dim() == 2 and called[-1][0].in_features == called[-1][0].out_features
    return ClassifierHead(output, dense=called[-1][0] if is_dense else None)


@torch.no_grad()
def head_inputs(model: LCLForSequenceClassification, layer: nn.Linear, inputs: dict[str, Tensor]) -> Tensor:
    """What a linear layer of the head is given for each text: `(batch, features)`, in fp32."""
    return _look_at(model, layer, inputs)[0]


def _passes_through(model: LCLForSequenceClassification, layer: nn.Linear, inputs: dict[str, Tensor]) -> bool:
    """Whether what a layer makes of each text are its logits."""
    _, made, logits = _look_at(model, layer, inputs)
    return torch.allclose(made, logits, atol=1e-4)


def _look_at(
    model: LCLForSequenceClassification, layer: nn.Linear, inputs: dict[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """What a layer is given and makes for each text, and the logits, all `(batch, ...)` in fp32."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = layer.register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
    try:
        logits = _logits(model, inputs)
    finally:
        hook.remove()
    given, made = (tensor.float() for tensor in seen[-1])
    if given.dim() == 3:
        # Decoders make logits of every token, and take those of one.
        rows = torch.arange(len(given), device=given.device)
        tokens = (made - logits.unsqueeze(1)).square().sum(dim=2).argmin(dim=1)
        given, made = given[rows, tokens], made[rows, tokens]
    return given, made, logits


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
    Sets the dense layer of a head so that it and the activation after it are nearly linear; logits change.

    Args:
        model ([`LCLForSequenceClassification`]): the wrapper, in evaluation mode.
        head ([`ClassifierHead`]): its head.
        inputs (`dict[str, torch.Tensor]`): a batch, to see whether it came out.
        gather (`Callable`, *optional*): collects a tensor from all processes.

    Returns:
        `bool`: whether the last layer now sees the embedding. If not (no dense layer, a frozen one, or a normalisation
        behind it), the head is as it was.
    """
    if head.dense is None or _is_frozen(head.dense):
        return False
    dense = head.dense
    before = {name: parameter.clone() for name, parameter in dense.named_parameters()}
    embedding = head_inputs(model, dense, inputs)
    # To a power of two, so that another batch gives the same.
    size, largest = (2 ** gathered.log2().round().item() for gathered in _sizes(gather(embedding)))
    shift = 4 * largest * RELU_INPUT_RMS / size
    # The size that is tried, the slope that the activation then has, and the size that is used if it has.
    activations = (
        (PROBE_INPUT_RMS, 0.0, 1.0, TANH_INPUT_RMS),
        (PROBE_INPUT_RMS, 0.0, 0.5, GELU_INPUT_RMS),
        (RELU_INPUT_RMS, shift, 1.0, RELU_INPUT_RMS),
    )
    for tried, bias, slope, used in activations:
        _set_diagonal(dense, tried / size, bias)
        features = head_inputs(model, head.output, inputs)
        expected = slope * tried / size * embedding
        # All but the few dimensions in which some encoders are ten times as large as in the others.
        is_linear = torch.isclose(features - bias, expected, rtol=0.1, atol=0.01 * tried)
        if is_linear.float().mean() > 0.95:
            _set_diagonal(dense, used / size, bias)
            return True
    for name, parameter in before.items():
        dense.get_parameter(name).copy_(parameter)
    return False


def _is_frozen(layer: nn.Linear) -> bool:
    return not all(parameter.requires_grad for parameter in layer.parameters())


def _sizes(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """The mean size of an entry, and the largest."""
    return embeddings.square().mean().sqrt(), embeddings.abs().max()


def _set_diagonal(dense: nn.Linear, value: float, bias: float) -> None:
    nn.init.eye_(dense.weight).mul_(value)
    if dense.bias is not None:
        dense.bias.fill_(bias)


def fit_head(
    model: LCLForSequenceClassification,
    batches: Iterable[dict[str, Tensor]],
    *,
    class_weights: list[float] | None = None,
    gather: Callable[[Any], Any] = lambda tensors: tensors,
) -> None:
    """
    Fits the last layer of the classifier by cross-entropy (logistic regression) on the features of the frozen encoder,
    which reads each text once.

    Args:
        model ([`LCLForSequenceClassification`]): the wrapper; its head is changed in place, and left in the mode
            (training or evaluation) that it is in.
        batches (`Iterable[dict[str, torch.Tensor]]`): tokenised texts with `labels`, on the model's device.
        class_weights (`list[float]`, *optional*): one number per class.
        gather (`Callable`, *optional*): collects a tuple of tensors from all processes.

    Raises:
        ValueError: if the logits do not come out of a linear layer, or out of a frozen one.

    Example:

    ```python
    >>> from hf_lcl.start import fit_head

    >>> fit_head(model, trainer.get_eval_dataloader(train))
    ```
    """
    was_training = model.training
    model.eval()
    head: ClassifierHead | None = None
    before: list[tuple[nn.Parameter, Tensor]] = []
    features, labels = [], []
    try:
        for batch in tqdm(batches, desc="features", leave=False):
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            if head is None:
                head = find_head(model, inputs)
                if _is_frozen(head.output):
                    raise ValueError("The last layer of the classifier is frozen (requires_grad=False).")
                if head.dense is not None:
                    before = [(weight, weight.detach().clone()) for weight in head.dense.parameters()]
                linearize(model, head, inputs, gather)
            seen, classes = gather((head_inputs(model, head.output, inputs), batch["labels"]))
            features.append(seen.cpu())
            labels.append(classes.cpu())
        if head is None:
            raise ValueError("There are no texts to fit the classifier to.")
        output = head.output
        weight, bias = _logistic_regression(
            torch.cat(features).double().numpy(),
            torch.cat(labels).numpy(),
            len(class_names(model.config)),
            class_weights,
            with_bias=output.bias is not None,
        )
    except BaseException:  # Ctrl-C and a full device too: a head that is half changed would be neither old nor new
        for parameter, old in before:
            parameter.data.copy_(old)
        raise
    finally:
        model.train(was_training)
    with torch.no_grad():
        output.weight.copy_(torch.from_numpy(weight))
        if output.bias is not None:
            output.bias.copy_(torch.from_numpy(bias))


def _logistic_regression(
    features: np.ndarray, labels: np.ndarray, num_labels: int, class_weights: list[float] | None, with_bias: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weight `(num_labels, features)` and bias `(num_labels,)`; a class without texts gets a low logit."""
    # One scale for all architectures, so that the penalty means the same; the features' own proportions stay.
    mean = features.mean(axis=0) * with_bias
    scale = np.sqrt(np.square(features - mean).sum(axis=1).mean()).clip(min=1e-12)
    present = np.unique(labels)
    from sklearn.linear_model import LogisticRegression  # takes a second that other trainings need not pay

    regression = LogisticRegression(
        C=INVERSE_PENALTY,
        max_iter=1000,
        fit_intercept=with_bias,
        class_weight=None if class_weights is None else {label: class_weights[label] for label in present},
    )
    regression.fit((features - mean) / scale, labels)
    rows, constants = regression.coef_, np.broadcast_to(regression.intercept_, len(regression.coef_))
    if len(present) == 2:
        rows, constants = np.concatenate([-rows, rows]) / 2, np.concatenate([-constants, constants]) / 2
    weight = np.zeros((num_labels, features.shape[1]))
    bias = np.full(num_labels, constants.min() - 10)
    weight[present] = rows / scale
    bias[present] = constants - rows @ mean / scale
    return weight, bias
