"""The texts that the anchors of a training step are compared with, where these are more than its own batch."""

import torch
from torch import Tensor

from ..losses.candidates import Candidates
from .gather import gather_rows


def gather_candidates(embeddings: Tensor, labels: Tensor) -> Candidates:
    """
    The batch of all processes, as candidates of the anchors of this one.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): those of this process's anchors.
        labels (`torch.LongTensor` of shape `(batch,)`): their classes.

    Returns:
        [`Candidates`]: gradients flow back to the process that each embedding comes from.
    """
    (all_embeddings, start), (all_labels, _) = gather_rows(embeddings), gather_rows(labels)
    return Candidates(
        all_embeddings,
        all_labels,
        anchor_positions=torch.arange(start, start + len(labels), device=labels.device),
        batch_size=len(all_labels),
        processes=torch.distributed.get_world_size(),
    )
