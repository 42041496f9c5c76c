"""Whom the anchors of a training step are compared with: the batch of all processes, and the queue."""

from dataclasses import replace

import torch
from torch import Tensor

from ..losses.candidates import Candidates
from ..training_args import ContrastiveTrainingArguments
from .gather import gather_rows
from .queue import EmbeddingQueue


class CandidatePool:
    """
    Gathers candidates over processes and over time, as the training arguments say.

    Args:
        args ([`ContrastiveTrainingArguments`]): `gather_across_devices`, `queue_size` and `queue_warmup_steps`.
    """

    def __init__(self, args: ContrastiveTrainingArguments):
        self.args = args
        self.queue = EmbeddingQueue(args.queue_size)

    def candidates(self, embeddings: Tensor, labels: Tensor, step: int) -> Candidates | None:
        """
        The candidates of one batch, which joins the queue afterwards.

        Args:
            embeddings (`torch.Tensor` of shape `(batch, hidden)`): those of this process's anchors.
            labels (`torch.LongTensor` of shape `(batch,)`): their classes.
            step (`int`): updates of the weights so far.

        Returns:
            [`Candidates`], or `None` where the anchors are compared with one another alone.
        """
        gathers = self.args.is_contrastive and self.args.gather_across_devices and self.args.world_size > 1
        if not gathers and not self.queue.size:
            return None
        start, processes = 0, 1
        batch_embeddings, batch_labels = embeddings, labels
        if gathers:
            (batch_embeddings, start), (batch_labels, _) = gather_rows(embeddings), gather_rows(labels)
            processes = self.args.world_size
        candidates = Candidates(
            batch_embeddings,
            batch_labels,
            anchor_positions=torch.arange(start, start + len(labels), device=labels.device),
            batch_size=len(batch_labels),
            processes=processes,
        )
        if len(self.queue) and step >= self.args.queue_warmup_steps:
            candidates = replace(
                candidates,
                embeddings=torch.cat([batch_embeddings, self.queue.embeddings.to(embeddings.dtype)]),
                labels=torch.cat([batch_labels, self.queue.labels]),
            )
        if self.queue.size:
            self.queue.add(batch_embeddings, batch_labels)
        return candidates
