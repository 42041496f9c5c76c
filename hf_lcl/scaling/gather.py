"""The rows of all processes, with a gradient that finds its way back."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(tensor: Tensor) -> tuple[Tensor, int]:
    """
    Joins the rows of all processes, in the order of their ranks.

    The gradient of a row is the sum of what all processes' losses say about it, so that the mean of the processes'
    gradients (as `DistributedDataParallel` takes it) is that of the mean of their losses.

    Args:
        tensor (`torch.Tensor` of shape `(rows, ...)`): any number of rows, which may differ between the processes;
            all other dimensions and the dtype are the same everywhere.

    Returns:
        `tuple[torch.Tensor, int]`: the rows of all processes `(all_rows, ...)`, and where those of this one begin.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl.scaling import gather_rows

    >>> rows, start = gather_rows(torch.ones(2, 3))  # in each process of `torchrun --nproc_per_node 2`
    >>> rows.shape, start
    (torch.Size([4, 3]), 0)
    ```
    """
    counts = [torch.zeros(1, dtype=torch.long, device=tensor.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(tensor)], device=tensor.device))
    sizes = torch.cat(counts).tolist()
    return _GatherRows.apply(tensor, sizes), sum(sizes[: dist.get_rank()])


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        # Backends need parts of equal size.
        padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.split(ctx.sizes)[dist.get_rank()], None
