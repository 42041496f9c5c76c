"""Log ratios and their gradients with a matrix of all pairs, as the formula has it: the faster form for few pairs."""

import torch
from torch import Tensor

from .pairs import MASKED, Pairs


def sweep(
    anchors: Tensor,
    candidates: Tensor,
    log_weights: Tensor | None,
    pairs: Pairs,
    temperature: float,
    coefficients: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """
    The log ratios `log(sum_k w[i, y_k] exp(h_i.h_k / tau)) - mean_p h_i.h_p / tau`, and gradients of a weighted sum of
    them.

    Args:
        anchors (`torch.Tensor` of shape `(batch, hidden)`): the `h_i`.
        candidates (`torch.Tensor` of shape `(candidates, hidden)`): the `h_k`; `anchors` where they are the same.
        log_weights (`torch.Tensor` of shape `(batch, num_labels)`, *optional*): log of `w`; `None` where all are 1.
        pairs ([`Pairs`]): who is whose positive.
        temperature (`float`): tau.
        coefficients (`torch.Tensor` of shape `(batch,)`, *optional*): weight of each log ratio in the sum; needed for
            gradients.
        wanted (`tuple[bool, bool, bool]`): whether gradients of anchors, candidates and log weights are.

    Returns:
        `tuple`: the log ratios `(batch,)`, and the three gradients, `None` where not wanted. Where candidates and
        anchors are the same, that of the anchors holds both.
    """
    classes, itself = pairs.candidate_labels, pairs.anchor_positions
    scaled = anchors / temperature
    similarities = scaled @ candidates.T
    # Each anchor's target is spread over its positives, as in a cross-entropy with soft labels.
    targets = (pairs.labels.unsqueeze(1) == classes).to(anchors.dtype)
    if itself is not None:
        targets.scatter_(1, itself.unsqueeze(1), 0)
    targets.div_(pairs.positives.clamp(min=1).unsqueeze(1))
    mean_positive = (similarities * targets).sum(dim=1)
    logits = similarities if log_weights is None else similarities.add_(log_weights.index_select(1, classes))
    if itself is not None:
        logits.scatter_(1, itself.unsqueeze(1), MASKED)
    maximum = logits.amax(dim=1, keepdim=True)
    exponentials = logits.sub_(maximum).exp_()
    total = exponentials.sum(dim=1, keepdim=True)
    values = (maximum + total.log()).squeeze(1) - mean_positive
    if not any(wanted):
        return values, (None, None, None)

    coefficients = coefficients.unsqueeze(1)
    gradient = exponentials.mul_(coefficients / total)
    of_log_weights = torch.zeros_like(log_weights).index_add_(1, classes, gradient) if wanted[2] else None
    gradient.sub_(targets.mul_(coefficients))
    of_anchors = of_candidates = None
    if candidates is anchors:
        of_anchors = (gradient + gradient.T) @ scaled if wanted[0] else None
    else:
        of_anchors = (gradient @ candidates).div_(temperature) if wanted[0] else None
        of_candidates = gradient.T @ scaled if wanted[1] else None
    return values, (of_anchors, of_candidates, of_log_weights)
