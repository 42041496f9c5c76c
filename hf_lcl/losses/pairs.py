"""Pairs of an anchor and a candidate, and the positives among them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Inputs(NamedTuple):
    """
    What a pass over all pairs reads; fp32 or float64.

    Args:
        anchors (`torch.Tensor` of shape `(batch, hidden)`): the `h_i`.
        candidates (`torch.Tensor` of shape `(candidates, hidden)`, *optional*): the `h_k`; `None` where they are the
            anchors.
        log_weights (`torch.Tensor` of shape `(batch, num_labels)`, *optional*): log of `w`; `None` where all are 1.
    """

    anchors: Tensor
    candidates: Tensor | None
    log_weights: Tensor | None


class Pairs(NamedTuple):
    """
    All pairs of an anchor and a candidate.

    Args:
        classes (`torch.LongTensor` of shape `(batch,)`): class of each anchor, in `[0, num_classes)`; any where no
            candidate is of its class.
        candidate_classes (`torch.LongTensor` of shape `(candidates,)`): class of each candidate.
        num_classes (`int`): a bound of how many classes there are.
        self_column (`torch.LongTensor` of shape `(batch, 1)`, *optional*): column of each anchor among the candidates,
            with which it makes no pair; `None` if no anchor is a candidate.
        positives (`torch.LongTensor` of shape `(batch,)`): how many positives each anchor has.
    """

    classes: Tensor
    candidate_classes: Tensor
    num_classes: int
    self_column: Tensor | None
    positives: Tensor


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def make_pairs(
    labels: Tensor, candidate_labels: Tensor, anchor_positions: Tensor | None, num_labels: int | None
) -> Pairs:
    """The pairs of anchors and candidates. Labels are below `num_labels` or, where it is `None`, any integers."""
    ordered = candidate_labels.sort().values
    first, last = torch.searchsorted(ordered, labels), torch.searchsorted(ordered, labels, right=True)
    positives = last - first if anchor_positions is None else last - first - 1
    if num_labels is None:  # a class is numbered by the place of its first candidate in their order
        num_labels = len(ordered)
        labels, candidate_labels = first.clamp_(max=num_labels - 1), torch.searchsorted(ordered, candidate_labels)
    self_column = None if anchor_positions is None else anchor_positions.unsqueeze(1)
    return Pairs(labels, candidate_labels, num_labels, self_column, positives)


def row_maximum(logits: Tensor) -> Tensor:
    """Maximum of each row `(batch, 1)`; 0 where all of it is masked (`-inf`), so that its exponentials are 0."""
    maximum = logits.amax(dim=1, keepdim=True)
    return maximum.masked_fill_(maximum == -torch.inf, 0)
