"""Candidates beyond the local batch."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Candidates:
    """
    The texts that the anchors of one process are compared with: the batch of all processes, then any others.

    Args:
        embeddings (`torch.Tensor` of shape `(candidates, hidden)`): not normalised; the batch with its graph.
        labels (`torch.LongTensor` of shape `(candidates,)`): classes; or indicator rows.
        anchor_positions (`torch.LongTensor` of shape `(batch,)`): which of them are the anchors themselves.
        batch_size (`int`): how many of them, from the first on, are the batch of all processes.
        processes (`int`, *optional*, defaults to 1): among how many processes that batch is divided. Each one's loss
            is made `processes` times its share of the whole batch's, since their gradients are averaged.
    """

    embeddings: Tensor
    labels: Tensor
    anchor_positions: Tensor
    batch_size: int
    processes: int = 1

    @property
    def batch_labels(self) -> Tensor:
        """Classes of the batch of all processes."""
        return self.labels[: self.batch_size]
