"""Averages of the parts of the loss over many batches, without waiting for the device at each batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from .objective import Part


class PartMeter:
    """Weighted means of named numbers; everything stays on the device until [`~PartMeter.averages`] is called."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Discards everything that was added."""
        self._names: list[str] = []
        self._totals: Tensor | None = None

    def add(
        self, parts: dict[str, Part], scale: float = 1.0, gather_rows: Callable | None = None, rows: int = 1
    ) -> None:
        """
        Adds the parts of one batch, with their weights multiplied by `scale`; losses have the weight `rows`. Names
        must not change between two resets. `gather_rows` gathers a tensor with one row for each of `rows` texts from
        all processes, without the duplicates that pad the last batch.
        """
        self._names = list(parts)
        values = torch.stack([part.value.float() for part in parts.values()])
        counts = [rows if part.weight is None else part.weight for part in parts.values()]
        weights = torch.stack([count if torch.is_tensor(count) else values.new_full((), count) for count in counts])
        totals = torch.stack([values * weights, weights]) * scale
        if gather_rows is not None:
            totals = gather_rows((totals / max(rows, 1)).expand(rows, -1, -1).contiguous()).sum(dim=0)
        self._totals = totals if self._totals is None else self._totals + totals

    def averages(self, reduce: Callable[[Tensor], Tensor] = lambda totals: totals) -> dict[str, float]:
        """
        Returns the weighted means so far, and resets the meter. `reduce` sums a tensor over all processes. A name with
        a total weight of 0 (a similarity of pairs that never occurred) is left out.
        """
        if self._totals is None:
            return {}
        names, (sums, weights) = self._names, reduce(self._totals).tolist()
        self.reset()
        return {name: total / weight for name, total, weight in zip(names, sums, weights) if weight > 0}
