"""
The part of both losses that goes over all pairs: `log(sum_k w[i, y_k] exp(h_i.h_k / tau)) - mean_p h_i.h_p / tau`.

That is the mean logarithm in an anchor's loss, without the minus and the weight before it; "log ratio" for short.
Values and gradients come out of the same pass over the pairs, which is why the gradients are written by hand.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from . import blockwise, direct
from .pairs import Pairs


# Up to so many pairs the direct form is the faster one. It takes fewer operations and, where the batch is compared
# with itself, two products instead of three; with more pairs, its ways through memory cost more than that saves.
DIRECT_PAIRS = 2**20

Gradients = tuple[Tensor | None, ...]


def log_ratios(
    anchors: Tensor, candidates: Tensor, log_weights: Tensor | None, pairs: Pairs, temperature: float
) -> Tensor:
    """
    The log ratio of each anchor, at four matrix products: what becomes of it is known in the backward pass only, which
    goes over the pairs again.

    Args:
        anchors (`torch.Tensor` of shape `(batch, hidden)`): fp32 or float64, as all tensors here.
        candidates (`torch.Tensor` of shape `(candidates, hidden)`): what each anchor is compared with.
        log_weights (`torch.Tensor` of shape `(batch, num_classes)`, *optional*): of each anchor for each class; `None`
            where all weights are 1.
        pairs ([`Pairs`]): who is whose positive.
        temperature (`float`): divides the similarities.

    Returns:
        `torch.Tensor` of shape `(batch,)`: finite, but of no meaning, for an anchor without positives.
    """
    return _LogRatios.apply(anchors, candidates, log_weights, pairs, temperature)


def weighted_log_ratio(
    coefficients: Tensor,
    anchors: Tensor,
    candidates: Tensor,
    log_weights: Tensor | None,
    pairs: Pairs,
    temperature: float,
) -> Tensor:
    """
    `(coefficients * log_ratios(...)).sum()` at three matrix products, or at one where no gradient is wanted: what
    becomes of each anchor is known, so that the pass that computes the values leaves the gradients behind.

    Args:
        coefficients (`torch.Tensor` of shape `(batch,)`): 0 for an anchor without positives.
        anchors (`torch.Tensor` of shape `(batch, hidden)`): this and the rest as in [`log_ratios`].
        candidates (`torch.Tensor` of shape `(candidates, hidden)`): likewise.
        log_weights (`torch.Tensor` of shape `(batch, num_classes)`, *optional*): likewise.
        pairs ([`Pairs`]): likewise.
        temperature (`float`): likewise.

    Returns:
        `torch.Tensor` of shape `()`.
    """
    if not torch.is_grad_enabled():
        return (coefficients * _sweep(anchors, candidates, log_weights, pairs, temperature)[0]).sum()
    return _WeightedLogRatio.apply(coefficients, anchors, candidates, log_weights, pairs, temperature)


class _LogRatios(torch.autograd.Function):
    @staticmethod
    def forward(ctx, anchors, candidates, log_weights, pairs, temperature):
        ctx.save_for_backward(anchors, candidates, log_weights)
        ctx.settings = pairs, temperature
        return _sweep(anchors, candidates, log_weights, pairs, temperature)[0]

    @staticmethod
    def backward(ctx, grad_output):
        inputs, wanted = ctx.saved_tensors, ctx.needs_input_grad[:3]
        gradients = _once(lambda: _sweep(*inputs, *ctx.settings, grad_output, wanted)[1], grad_output, *inputs)
        return *gradients, None, None


class _WeightedLogRatio(torch.autograd.Function):
    @staticmethod
    def forward(ctx, coefficients, anchors, candidates, log_weights, pairs, temperature):
        inputs, wanted = (anchors, candidates, log_weights), ctx.needs_input_grad[1:4]
        values, gradients = _sweep(*inputs, pairs, temperature, coefficients, wanted)
        ctx.save_for_backward(*inputs, values, *gradients)
        return (coefficients * values).sum()

    @staticmethod
    def backward(ctx, grad_output):
        inputs, gradients = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        scaled = _once(lambda: tuple(x if x is None else x * grad_output for x in gradients), grad_output, *inputs)
        return *scaled, None, None


def _sweep(
    anchors: Tensor,
    candidates: Tensor,
    log_weights: Tensor | None,
    pairs: Pairs,
    temperature: float,
    coefficients: Tensor | None = None,
    wanted: tuple[bool, bool, bool] = (False, False, False),
) -> tuple[Tensor, Gradients]:
    """The log ratios, and those of the gradients of `(coefficients * log_ratios).sum()` that are wanted."""
    form = direct if len(anchors) * len(candidates) <= DIRECT_PAIRS else blockwise
    # Autocast would take the products to half precision.
    with torch.autocast(device_type=anchors.device.type, enabled=False):
        return form.sweep(anchors, candidates, log_weights, pairs, temperature, coefficients, wanted)


def _once(gradients: Callable[[], Gradients], *inputs: Tensor | None) -> Gradients:
    """Gradients of what depends on `inputs`, which cannot be differentiated again."""
    return _Once.apply(gradients, *inputs) if torch.is_grad_enabled() else gradients()


class _Once(torch.autograd.Function):
    """Ties gradients to what they depend on, so that a second differentiation meets an error and not constants."""

    @staticmethod
    def forward(ctx, gradients, *inputs):
        return gradients()

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise RuntimeError(
            "The contrastive losses can be differentiated once, not twice: leave them out of what is differentiated "
            "with create_graph=True."
        )
