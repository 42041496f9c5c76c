"""
Log ratios and their gradients at three matrix products, without a matrix of all pairs.

The mean over an anchor's positives needs no pairs: it is a product with the sum of their class,
`sum_p h_i.h_p = h_i . (S[y_i] - h_i)`. The logarithm needs them a row at a time: a block of rows gives its logarithms
and its part of every gradient. That makes three products in all: pairs, gradient of the anchors, gradient of the
candidates.
"""

import math

import torch
from torch import Tensor

from .pairs import Gradients, Inputs, Pairs, row_maximum


# Bytes of a block of pairs. On a CPU it should stay in the last-level cache from the product that fills it to the two
# that use it, and yet have rows enough for products at full speed. Elsewhere every kernel has to fill the device.
CPU_BLOCK_BYTES = 16 * 2**20
ACCELERATOR_BLOCK_BYTES = 64 * 2**20
# Powers of two take half the time of powers of e, so exponents are written to that base.
LOG2_E = math.log2(math.e)


def sweep(
    inputs: Inputs, pairs: Pairs, temperature: float, coefficients: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor, Gradients]:
    """As [`direct.sweep`]."""
    anchors, given, log_weights = inputs
    candidates = anchors if given is None else given
    classes, candidate_classes, num_classes, self_column, positives = pairs
    positives, weights = positives.clamp(min=1).unsqueeze(1).to(anchors.dtype), coefficients.unsqueeze(1)
    mean_positive = _class_sums(candidates, candidate_classes, num_classes)[classes]
    if self_column is not None:
        mean_positive.sub_(candidates[self_column.squeeze(1)])
    mean_positive.div_(positives)
    values = (anchors * mean_positive).sum(dim=1).div_(-temperature)

    of_anchors = mean_positive.mul_(weights / -temperature) if wanted[0] else None
    of_candidates = of_anchors if given is None else torch.zeros_like(candidates) if wanted[1] else None
    if of_candidates is not None:
        # The positives' part of the candidates' gradient: from class sums of the anchors.
        pulls = anchors * (weights / (positives * temperature))
        pulls_of_classes = _class_sums(pulls, classes, num_classes)
        if self_column is not None:
            of_candidates.index_add_(0, self_column.squeeze(1), pulls)
        del pulls  # before the next one of this size
        of_candidates.sub_(pulls_of_classes[candidate_classes])
    of_log_weights, one_hot = None, anchors.new_empty(0)
    if log_weights is not None and wanted[2]:
        of_log_weights = torch.empty_like(log_weights)
        one_hot = anchors.new_zeros(len(candidates), num_classes).scatter_(1, candidate_classes.unsqueeze(1), 1)

    exponents = None if log_weights is None else log_weights * LOG2_E
    block_bytes = CPU_BLOCK_BYTES if anchors.device.type == "cpu" else ACCELERATOR_BLOCK_BYTES
    height = max(1, block_bytes // (anchors.element_size() * len(candidates)))
    memory = anchors.new_empty(min(height, len(anchors)), len(candidates))
    for start in range(0, len(anchors), height):
        rows = slice(start, start + height)
        block = memory[: len(anchors) - start]
        if exponents is not None:
            torch.index_select(exponents[rows], 1, candidate_classes, out=block)
        block.addmm_(anchors[rows], candidates.T, beta=0 if exponents is None else 1, alpha=LOG2_E / temperature)
        if self_column is not None:
            block.scatter_(1, self_column[rows], -torch.inf)
        maximum = row_maximum(block)
        total = block.sub_(maximum).exp2_().sum(dim=1, keepdim=True).clamp_(min=torch.finfo(block.dtype).tiny)
        values[rows] += (maximum + total.log2()).squeeze(1) / LOG2_E
        # The softmax is `block / total`. It is never stored: the factor of each row divides by the total too.
        share = weights[rows] / total
        if of_anchors is not None:
            of_anchors[rows].addcmul_(block @ candidates, share / temperature)
        if of_candidates is not None:
            of_candidates.addmm_(block.T, anchors[rows] * (share / temperature))
        if of_log_weights is not None:
            of_log_weights[rows] = (block @ one_hot).mul_(share)
    return values, (of_anchors, None if given is None else of_candidates, of_log_weights)


def _class_sums(vectors: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Sum of the vectors of each class: `(num_classes, hidden)`."""
    return vectors.new_zeros(num_classes, vectors.shape[1]).index_add_(0, classes, vectors)
