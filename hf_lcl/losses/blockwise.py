"""
Log ratios and their gradients at three matrix products, without a matrix of all pairs.

The mean over an anchor's positives needs no pairs: it is a product with the sum of their class,
`sum_p h_i.h_p = h_i . (S[y_i] - h_i)`. The logarithm needs them a row at a time: a block of rows gives its logarithms
and, while it is there, its part of every gradient. That makes three products in all: pairs, gradient of the anchors,
gradient of the candidates.
"""

import math

import torch
from torch import Tensor

from .pairs import MASKED, Pairs


# Bytes of a block of pairs. On a CPU it should stay in the last-level cache from the product that fills it to the two
# that use it, and yet have rows enough for products at full speed. Elsewhere every kernel has to fill the device.
CPU_BLOCK = 16 * 2**20
ACCELERATOR_BLOCK = 64 * 2**20
# Powers of two take half the time of powers of e, so that exponents are written to that base.
LOG2_E = math.log2(math.e)


def sweep(
    anchors: Tensor,
    candidates: Tensor,
    log_weights: Tensor | None,
    pairs: Pairs,
    temperature: float,
    coefficients: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """As [`direct.sweep`]."""
    itself, positives = pairs.anchor_positions, pairs.positives.clamp(min=1).unsqueeze(1).to(anchors.dtype)
    classes, candidate_classes, num_classes = _number_classes(pairs, log_weights)
    mean_positive = _class_sums(candidates, candidate_classes, num_classes)[classes]
    if itself is not None:
        mean_positive.sub_(candidates[itself])
    mean_positive.div_(positives)
    values = (anchors * mean_positive).sum(dim=1).div_(-temperature)

    of_anchors = of_candidates = of_log_weights = None
    if any(wanted):
        coefficients = coefficients.unsqueeze(1)
    if wanted[0]:
        of_anchors = mean_positive.mul_(coefficients / -temperature)
    if wanted[1]:
        # What candidates get from being positives: by class sums again, this time of the anchors.
        of_candidates = of_anchors if candidates is anchors else torch.zeros_like(candidates)
        pulls = anchors * (coefficients / (positives * temperature))
        pulls_of_classes = _class_sums(pulls, classes, num_classes)
        if itself is not None:
            of_candidates.index_add_(0, itself, pulls)
        del pulls  # before the next one of this size
        of_candidates.sub_(pulls_of_classes[candidate_classes])
    if wanted[2]:
        of_log_weights = torch.empty_like(log_weights)
        one_hot = log_weights.new_zeros(len(candidates), num_classes).scatter_(1, candidate_classes.unsqueeze(1), 1)

    exponents = None if log_weights is None else log_weights * LOG2_E
    height = _rows_per_block(candidates)
    memory = anchors.new_empty(min(height, len(anchors)), len(candidates))
    for start in range(0, len(anchors), height):
        rows = slice(start, start + height)
        block = memory[: len(anchors) - start]
        if exponents is not None:
            torch.index_select(exponents[rows], 1, candidate_classes, out=block)
        block.addmm_(anchors[rows], candidates.T, beta=0 if exponents is None else 1, alpha=LOG2_E / temperature)
        if itself is not None:
            block.scatter_(1, itself[rows].unsqueeze(1), MASKED)
        maximum = block.amax(dim=1, keepdim=True)
        total = block.sub_(maximum).exp2_().sum(dim=1, keepdim=True)
        values[rows] += (maximum + total.log2()).squeeze(1) / LOG2_E
        if not any(wanted):
            continue
        # The softmax is `block / total`. It is not written down: what multiplies the products by the anchor's
        # coefficient divides them by the total, too.
        share = coefficients[rows] / total
        if wanted[0]:
            of_anchors[rows].addcmul_(block @ candidates, share / temperature)
        if wanted[1]:
            of_candidates.addmm_(block.T, anchors[rows] * (share / temperature))
        if wanted[2]:
            of_log_weights[rows] = (block @ one_hot).mul_(share)
    return values, (of_anchors, None if candidates is anchors else of_candidates, of_log_weights)


def _number_classes(pairs: Pairs, log_weights: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Classes of anchors and of candidates, and how many there are; without weights, labels may be any integers."""
    if log_weights is not None:
        return pairs.labels, pairs.candidate_labels, log_weights.shape[1]
    # To count them waits for a GPU, but not for long beside so many pairs.
    labels, classes = torch.unique(torch.cat([pairs.labels, pairs.candidate_labels]), return_inverse=True)
    return classes[: len(pairs.labels)], classes[len(pairs.labels) :], len(labels)


def _class_sums(vectors: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Sum of the vectors of each class: `(num_classes, hidden)`."""
    return vectors.new_zeros(num_classes, vectors.shape[1]).index_add_(0, classes, vectors)


def _rows_per_block(candidates: Tensor) -> int:
    size = CPU_BLOCK if candidates.device.type == "cpu" else ACCELERATOR_BLOCK
    return max(1, size // (candidates.element_size() * len(candidates)))
