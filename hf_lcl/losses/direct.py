"""Log ratios and their gradients from a stored matrix of all pairs: the faster form for few pairs."""

import torch
from torch import Tensor

from .pairs import Gradients, Inputs, Pairs, row_maximum


def sweep(
    inputs: Inputs, pairs: Pairs, temperature: float, coefficients: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor, Gradients]:
    """
    Returns the log ratios `log(sum_k w[i, y_k] exp(h_i.h_k / tau)) - mean_p h_i.h_p / tau` `(batch,)`, and the
    gradients of their sum, weighted by `coefficients` `(batch,)`, for anchors, candidates and log weights; `None` if
    not `wanted`. If the anchors are the candidates, their gradient includes both parts.
    """
    anchors, given, log_weights = inputs
    candidates = anchors if given is None else given
    self_column = pairs.self_column
    scaled = anchors / temperature
    logits = scaled @ candidates.T
    # Each anchor's target is spread over its positives, as in a cross-entropy with soft labels.
    targets = pairs.targets(anchors.dtype)
    if self_column is not None:
        logits.scatter_(1, self_column, 0)  # it may have overflowed, and 0 * inf is NaN
    mean_positive = (logits * targets).sum(dim=1)
    if log_weights is not None:
        logits.add_(pairs.log_weights(log_weights))
    if self_column is not None:
        logits.scatter_(1, self_column, -torch.inf)
    maximum = row_maximum(logits)
    exponentials = logits.sub_(maximum).exp_()
    total = exponentials.sum(dim=1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).tiny)
    values = (maximum + total.log()).squeeze(1) - mean_positive
    of_anchors = of_candidates = of_log_weights = None
    if any(wanted):
        coefficients = coefficients.unsqueeze(1)
        gradient = exponentials.mul_(coefficients / total)
        if log_weights is not None and wanted[2]:
            of_log_weights = _by_class(gradient, pairs, log_weights)
        gradient.sub_(targets.mul_(coefficients))
        if wanted[0]:
            pulled = (gradient + gradient.T) @ anchors if given is None else gradient @ candidates
            of_anchors = pulled.div_(temperature)
        if given is not None and wanted[1]:
            of_candidates = gradient.T @ scaled
    return values, (of_anchors, of_candidates, of_log_weights)


def _by_class(gradient: Tensor, pairs: Pairs, log_weights: Tensor) -> Tensor:
    if pairs.candidate_classes.dim() == 2:
        return pairs.by_class(gradient, log_weights, pairs.label_rows())
    return torch.zeros_like(log_weights).index_add_(1, pairs.candidate_classes, gradient)  # needs no product
