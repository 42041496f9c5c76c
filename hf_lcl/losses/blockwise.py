"""
Log ratios and their gradients in three matrix products, without storing the matrix of all pairs.

The mean over an anchor's positives needs no pairs: it is a product with the sum of its class,
`sum_p h_i.h_p = h_i . (S[y_i] - h_i)`. The log-sum-exp over all pairs is computed by blocks of rows, each of which
also gives its part of every gradient. The three products are the pairs, the anchors' and the candidates' gradient.
"""

import math

import torch
from torch import Tensor

from .pairs import Gradients, Inputs, Pairs, row_maximum


# Bytes of a block of pairs. On a CPU, a block should stay in the last-level cache from the product that fills it to
# the two that read it, and have enough rows for fast products. On an accelerator, each kernel has to fill the device.
CPU_BLOCK_BYTES = 16 * 2**20
ACCELERATOR_BLOCK_BYTES = 64 * 2**20
# Powers of two take half the time of powers of e, so logits are scaled to base 2.
LOG2_E = math.log2(math.e)


def block_height(anchors: Tensor, candidates: int) -> int:
    """Number of anchors in a block of pairs with this number of candidates."""
    block_bytes = CPU_BLOCK_BYTES if anchors.device.type == "cpu" else ACCELERATOR_BLOCK_BYTES
    return max(1, block_bytes // (anchors.element_size() * max(candidates, 1)))


def sweep(
    inputs: Inputs, pairs: Pairs, temperature: float, coefficients: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor, Gradients]:
    """As [`direct.sweep`]."""
    anchors, given, log_weights = inputs
    candidates = anchors if given is None else given
    self_column, weights = pairs.self_column, coefficients.unsqueeze(1)
    mean_positive = pairs.mean_positive(candidates)
    values = (anchors * mean_positive).sum(dim=1).div_(-temperature)

    of_anchors = mean_positive.mul_(weights / -temperature) if wanted[0] else None
    of_candidates = of_anchors if given is None else torch.zeros_like(candidates) if wanted[1] else None
    if of_candidates is not None:
        pairs.pull(of_candidates, anchors * (weights / temperature))
    of_log_weights = label_rows = None
    if log_weights is not None and wanted[2]:
        of_log_weights, label_rows = torch.empty_like(log_weights), pairs.label_rows(anchors.dtype)

    height = block_height(anchors, len(candidates))
    memory = anchors.new_empty(min(height, len(anchors)), len(candidates))
    for start in range(0, len(anchors), height):
        rows = slice(start, start + height)
        block = memory[: len(anchors) - start]
        if log_weights is not None:
            pairs.log_weights(log_weights[rows], LOG2_E, out=block)
        block.addmm_(anchors[rows], candidates.T, beta=0 if log_weights is None else 1, alpha=LOG2_E / temperature)
        if self_column is not None:
            block.scatter_(1, self_column[rows], -torch.inf)
        maximum = row_maximum(block)
        total = block.sub_(maximum).exp2_().sum(dim=1, keepdim=True).clamp_(min=torch.finfo(block.dtype).tiny)
        values[rows] += (maximum + total.log2()).squeeze(1) / LOG2_E
        # The softmax is `block / total`. It is never stored: `share`, the factor of each row, includes the division.
        share = weights[rows] / total
        if of_anchors is not None:
            of_anchors[rows].addcmul_(block @ candidates, share / temperature)
        if of_candidates is not None:
            of_candidates.addmm_(block.T, anchors[rows] * (share / temperature))
        if of_log_weights is not None and log_weights is not None and label_rows is not None:
            of_log_weights[rows] = pairs.by_class(block, log_weights[rows], label_rows).mul_(share)
    return values, (of_anchors, None if given is None else of_candidates, of_log_weights)
