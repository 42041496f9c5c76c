"""The last layer of a trained classifier, and edits of it that plain transformers can load."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..model.classes import class_names
from ..model.probing import probe_logits


class LinearCall(NamedTuple):
    """A linear layer in a forward pass, with its input and output."""

    layer: nn.Linear
    given: Tensor
    made: Tensor

    def of_texts(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Input and output per text, `(batch, ...)` in fp32; for decoders, of the token whose logits are used."""
        given, made = self.given.float(), self.made.float()
        if given.dim() == 3:
            rows = torch.arange(len(given), device=given.device)
            tokens = (made - logits.unsqueeze(1)).square().sum(dim=2).argmin(dim=1)
            given, made = given[rows, tokens], made[rows, tokens]
        return given, made


def linear_calls(layers: Iterable[nn.Linear], run: Callable[[], Tensor]) -> tuple[list[LinearCall], Tensor]:
    """The calls of these layers in one forward pass, in order, and the logits that `run` returns."""
    calls: list[LinearCall] = []

    def hook_of(layer: nn.Linear) -> Callable[..., None]:
        def remember(_: nn.Linear, args: tuple, output: Any) -> None:  # called for the layer, or for its copy
            if isinstance(output, Tensor):  # routers of experts are linear layers with other outputs
                calls.append(LinearCall(layer, args[0], output))

        return remember

    hooks = [layer.register_forward_hook(hook_of(layer)) for layer in layers]
    try:
        return calls, run()
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def last_layer(classifier: PreTrainedModel) -> tuple[str, nn.Linear]:
    """
    The name and the module of the linear layer that makes the logits, found by one pass of the classifier. Raises a
    `ValueError` if there is none with one output per class.
    """
    num_labels = len(class_names(classifier.config))
    layers = {
        name: layer
        for name, layer in classifier.named_modules()
        if isinstance(layer, nn.Linear) and layer.out_features == num_labels
    }
    calls: list[LinearCall] = []
    logits: Tensor | None = None
    with suppress(Exception):  # if it needs more than token ids, take its last such layer
        calls, logits = linear_calls(layers.values(), partial(probe_logits, classifier))
    made = {call.layer: call.made.float().cpu() for call in calls}
    for name, layer in reversed(layers.items()):
        if logits is None:
            return name, layer
        # Decoders make logits for every token, and use those of one, or their mean.
        rows = made[layer].reshape(-1, num_labels) if layer in made else logits.new_empty(0, num_labels)
        if (torch.cat([rows, rows.mean(dim=0, keepdim=True)]) - logits).abs().amax(dim=1).min() < 1e-4:
            return name, layer
    raise ValueError(
        f"{type(classifier).__name__} has no linear layer with {num_labels} outputs, one per class, that makes its "
        "logits: change these instead."
    )


def layer_with_bias(classifier: PreTrainedModel) -> tuple[str, nn.Linear]:
    """As [`last_layer`]; also raises a `ValueError` if the layer has no bias."""
    name, layer = last_layer(classifier)
    if layer.bias is None:
        raise ValueError(
            f"The last layer of {type(classifier).__name__} has no bias that could hold the cut: change its weights."
        )
    return name, layer


@torch.no_grad()
def scale_logits(classifier: PreTrainedModel, factor: float) -> None:
    """Multiplies the logits of a classifier by a positive number, in its last layer."""
    for parameter in last_layer(classifier)[1].parameters():
        parameter.copy_(parameter.double() * factor)


@torch.no_grad()
def shift_logits(classifier: PreTrainedModel, shifts: Sequence[float]) -> None:
    """Adds a number to the logit of each class, in the bias of the last layer; a `ValueError` if it has none."""
    bias = layer_with_bias(classifier)[1].bias
    bias.add_(bias.new_tensor(shifts))


def add_class(classifier: PreTrainedModel, name: str, logit: float) -> None:
    """
    Adds a last class with a constant logit to a classifier: it is predicted if all other logits are lower. Raises a
    `ValueError` if the last layer has no bias, or a class has that name already.
    """
    names = class_names(classifier.config)
    if name in names:
        raise ValueError(f"The classifier has a class {name!r} already.")
    where, layer = layer_with_bias(classifier)
    weight = torch.cat([layer.weight, layer.weight.new_zeros(1, layer.in_features)])
    _replace(classifier, where, weight, torch.cat([layer.bias, layer.bias.new_tensor([logit])]), [*names, name])


def remove_last_class(classifier: PreTrainedModel) -> None:
    """Removes the last class of a classifier; the logits of the others do not change."""
    where, layer = last_layer(classifier)
    _replace(classifier, where, layer.weight[:-1], layer.bias[:-1], class_names(classifier.config)[:-1])


@torch.no_grad()
def _replace(classifier: PreTrainedModel, where: str, weight: Tensor, bias: Tensor, names: list[str]) -> None:
    layer = nn.Linear(weight.shape[1], len(names), device=weight.device, dtype=weight.dtype)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    classifier.set_submodule(where, layer.requires_grad_(weight.requires_grad))
    whole: Any = classifier
    whole.config.id2label = dict(enumerate(names))
    whole.config.label2id = {name: index for index, name in enumerate(names)}
    whole.num_labels = len(names)
