"""Gathers the batch of all processes, differentiably."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...losses.objective import Candidates


def gather_candidates(embeddings: Tensor, labels: Tensor, is_name: Tensor | None = None) -> Candidates:
    """
    The batch of all processes in rank order, as candidates for the anchors of this process; batch sizes may differ.
    The gradient of an embedding is summed over the losses of all processes, so that the mean of the processes'
    gradients (which `DistributedDataParallel` computes) is the gradient of the mean loss.
    """
    own = torch.tensor([len(labels)], device=labels.device)
    counts = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    sizes = torch.cat(counts).tolist()
    start = sum(sizes[: dist.get_rank()])
    return Candidates(
        _GatherRows.apply(embeddings, sizes),
        _GatherRows.apply(labels, sizes),
        anchor_positions=torch.arange(start, start + len(labels), device=labels.device),
        batch_size=sum(sizes),
        processes=len(sizes),
        is_name=None if is_name is None else _GatherRows.apply(is_name, sizes),
    )


class _GatherRows(torch.autograd.Function):
    """Joins the rows of all processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        # Backends need tensors of equal size.
        padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # autograd's own must not change
        dist.all_reduce(gradient)
        return gradient.split(ctx.sizes)[dist.get_rank()], None
