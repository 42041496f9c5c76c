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
        labels (`torch.LongTensor` of shape `(batch,)`): class of each anchor.
        candidate_labels (`torch.LongTensor` of shape `(candidates,)`): class of each candidate.
        self_column (`torch.LongTensor` of shape `(batch, 1)`, *optional*): column of each anchor among the candidates,
            with which it makes no pair; `None` if no anchor is a candidate.
        positives (`torch.LongTensor` of shape `(batch,)`): how many positives each anchor has.
    """

    labels: Tensor
    candidate_labels: Tensor
    self_column: Tensor | None
    positives: Tensor


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def make_pairs(labels: Tensor, candidate_labels: Tensor, anchor_positions: Tensor | None) -> Pairs:
    """The pairs of anchors and candidates, with the number of each anchor's positives."""
    ordered = candidate_labels.sort().values
    first, last = torch.searchsorted(ordered, labels), torch.searchsorted(ordered, labels, right=True)
    if anchor_positions is None:
        return Pairs(labels, candidate_labels, None, last - first)
    return Pairs(labels, candidate_labels, anchor_positions.unsqueeze(1), last - first - 1)


def row_maximum(logits: Tensor) -> Tensor:
    """Maximum of each row `(batch, 1)`; 0 where all of it is masked (`-inf`), so that its exponentials are 0."""
    maximum = logits.amax(dim=1, keepdim=True)
    return maximum.masked_fill_(maximum == -torch.inf, 0)
