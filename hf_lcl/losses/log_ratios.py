"""
The part of both losses that goes over all pairs: `log(sum_k w[i, y_k] exp(h_i.h_k / tau)) - mean_p h_i.h_p / tau`.

That is the mean logarithm in an anchor's loss, without the minus and the weight before it; "log ratio" for short.
One pass over the pairs gives values and gradients, so the gradients are written by hand.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from . import blockwise, direct
from .checks import NO_VMAP
from .pairs import Gradients, Inputs, Pairs


# The direct form is faster up to this many pairs: it takes fewer operations and, without separate candidates, two
# products instead of three. With more pairs memory traffic dominates.
DIRECT_PAIRS = 2**20


def log_ratios(inputs: Inputs, pairs: Pairs, temperature: float) -> Tensor:
    """
    The log ratio of each anchor, at four matrix products: the upstream gradient is known only in backward, which goes
    over the pairs once more.

    Args:
        inputs ([`Inputs`]): anchors, candidates and log weights.
        pairs ([`Pairs`]): who is whose positive.
        temperature (`float`): divides the similarities.

    Returns:
        `torch.Tensor` of shape `(batch,)`: finite, but without meaning, for an anchor without positives.
    """
    return _LogRatios.apply(*inputs, pairs, temperature)


def weighted_log_ratio(coefficients: Tensor, inputs: Inputs, pairs: Pairs, temperature: float) -> Tensor:
    """
    `(coefficients * log_ratios(...)).sum()` at three matrix products, or at one without gradients: the coefficients
    are known in forward, so that the pass over the pairs that gives the values gives the gradients too.

    Args:
        coefficients (`torch.Tensor` of shape `(batch,)`): 0 for an anchor without positives.
        inputs ([`Inputs`]): this and the rest as in [`log_ratios`].
        pairs ([`Pairs`]): likewise.
        temperature (`float`): likewise.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    wanted = tuple(torch.is_grad_enabled() and x is not None and x.requires_grad for x in inputs)
    return _WeightedLogRatio.apply(coefficients, *inputs, pairs, temperature, wanted)[0]


class _NotBatched(torch.autograd.Function):
    """A function without a batched form, which `torch.vmap` would ask for."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> NoReturn:
        raise ValueError(NO_VMAP)


class _LogRatios(_NotBatched):
    @staticmethod
    def forward(anchors, candidates, log_weights, pairs, temperature):
        return _sweep(Inputs(anchors, candidates, log_weights), pairs, temperature)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.pairs, ctx.temperature = inputs[3:]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs = Inputs(*ctx.saved_tensors)
        if torch.is_grad_enabled():
            upstream = _Once.apply(upstream)  # refused under vmap, before anything is written in place
        with torch.no_grad():
            gradients = _sweep(inputs, ctx.pairs, ctx.temperature, upstream, ctx.needs_input_grad[:3])[1]
        return *_once(gradients, upstream, *inputs), None, None


class _WeightedLogRatio(_NotBatched):
    @staticmethod
    def forward(coefficients, anchors, candidates, log_weights, pairs, temperature, wanted):
        inputs = Inputs(anchors, candidates, log_weights)
        values, gradients = _sweep(inputs, pairs, temperature, coefficients, wanted)
        return (coefficients * values).sum(), values, *gradients

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.mark_non_differentiable(*(x for x in output[1:] if x is not None))
        ctx.save_for_backward(*inputs[1:4], *output[1:])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        inputs, gradients = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        with torch.no_grad():
            scaled = [x if x is None else x * upstream for x in gradients]
        return *_once(scaled, upstream, *inputs), None, None, None


def _sweep(
    inputs: Inputs,
    pairs: Pairs,
    temperature: float,
    coefficients: Tensor | None = None,
    wanted: tuple[bool, ...] = (False, False, False),
) -> tuple[Tensor, Gradients]:
    """The log ratios, and those of the gradients of `(coefficients * log_ratios).sum()` that are wanted."""
    anchors, candidates, _ = inputs
    size = len(anchors) * len(anchors if candidates is None else candidates)
    form = direct if size <= DIRECT_PAIRS else blockwise
    # Autocast would take the products to half precision.
    with torch.autocast(device_type=anchors.device.type, enabled=False):
        return form.sweep(inputs, pairs, temperature, coefficients, wanted)


def _once(gradients: Sequence[Tensor | None], *inputs: Tensor | None) -> list[Tensor | None]:
    """Ties gradients to what they depend on, so that a second differentiation raises instead of seeing constants."""
    if not torch.is_grad_enabled():
        return list(gradients)
    return [x if x is None else _Once.apply(x, *inputs) for x in gradients]


class _Once(_NotBatched):
    @staticmethod
    def forward(gradient, *inputs):
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor):
        raise RuntimeError(
            "The contrastive losses can be differentiated once, not twice: leave them out of what is differentiated "
            "with create_graph=True."
        )
