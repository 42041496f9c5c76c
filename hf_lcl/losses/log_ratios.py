"""
The part of both losses that runs over all pairs: `log(sum_k w[i, y_k] exp(h_i.h_k / tau)) - mean_p h_i.h_p / tau`.

This "log ratio" is an anchor's loss without the weight of its own class. Gradients are written by hand, so that one
pass over the pairs gives values and gradients.
"""

from typing import Any, NoReturn

import torch
from torch import Tensor

from . import blockwise, direct
from .checks import NO_VMAP
from .pairs import Gradients, Inputs, Pairs


# The direct form is faster up to this many pairs: it takes fewer operations and, without separate candidates, two
# products instead of three. With more pairs memory traffic dominates.
DIRECT_PAIRS = 2**20


def log_ratios(inputs: Inputs, pairs: Pairs, temperature: float, coefficients: Tensor | None = None) -> Tensor:
    """
    The log ratio of each anchor `(batch,)`, in four matrix products, or their sum weighted by `coefficients`
    `(batch,)`, in three; without gradients, in one. Anchors without positives have a finite but meaningless value.

    With `coefficients`, forward computes values and gradients in one pass over the pairs. Without them, the gradients
    need the upstream gradient, so that backward goes over the pairs once more.
    """
    is_sum = torch.is_grad_enabled() and coefficients is not None
    wanted = tuple(is_sum and x is not None and x.requires_grad for x in inputs)
    return _LogRatios.apply(coefficients, *inputs, pairs, temperature, wanted)[0]


class _NotBatched(torch.autograd.Function):
    """A function that does not support `torch.vmap`."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> NoReturn:
        raise ValueError(NO_VMAP)


class _LogRatios(_NotBatched):
    @staticmethod
    def forward(
        coefficients: Tensor | None,
        anchors: Tensor,
        candidates: Tensor | None,
        log_weights: Tensor | None,
        pairs: Pairs,
        temperature: float,
        wanted: tuple[bool, ...],
    ) -> tuple[Tensor | None, ...]:
        inputs = Inputs(anchors, candidates, log_weights)
        values, gradients = _sweep(inputs, pairs, temperature, coefficients, wanted)
        if coefficients is None:
            return values, None, *gradients
        return (coefficients * values).sum(), values, *gradients

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.mark_non_differentiable(*(x for x in output[1:] if x is not None))
        ctx.save_for_backward(*inputs[1:4], *output[1:])
        ctx.is_sum, ctx.pairs, ctx.temperature = inputs[0] is not None, *inputs[4:6]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        inputs, gradients = Inputs(*ctx.saved_tensors[:3]), ctx.saved_tensors[3:]
        if torch.is_grad_enabled():
            upstream = _Once.apply(upstream)  # raises under vmap, before anything is written in place
        with torch.no_grad():
            if ctx.is_sum:
                gradients = [x if x is None else x * upstream for x in gradients]
            else:
                gradients = None, *_sweep(inputs, ctx.pairs, ctx.temperature, upstream, ctx.needs_input_grad[1:4])[1]
        if torch.is_grad_enabled():
            # Tied to their inputs, so that a second differentiation raises instead of seeing constants.
            gradients = [x if x is None else _Once.apply(x, upstream, *inputs) for x in gradients]
        return *gradients, None, None, None


def _sweep(
    inputs: Inputs, pairs: Pairs, temperature: float, coefficients: Tensor | None, wanted: tuple[bool, ...]
) -> tuple[Tensor, Gradients]:
    """The log ratios, and the `wanted` gradients of `(coefficients * log_ratios).sum()`."""
    anchors, candidates, _ = inputs
    size = len(anchors) * len(anchors if candidates is None else candidates)
    form = direct if size <= DIRECT_PAIRS else blockwise
    if coefficients is None:
        coefficients = anchors.new_zeros(len(anchors))
    # Autocast would compute the products in half precision.
    with torch.autocast(device_type=anchors.device.type, enabled=False):
        return form.sweep(inputs, pairs, temperature, coefficients, wanted)


class _Once(_NotBatched):
    """Returns its first input, and raises if it is differentiated."""

    @staticmethod
    def forward(gradient: Tensor, *inputs: Tensor | None) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> NoReturn:
        raise RuntimeError(
            "The contrastive losses can be differentiated once, not twice: leave them out of what is differentiated "
            "with create_graph=True."
        )
