"""Who is compared with whom, and who is whose positive."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


# Logit of an anchor with itself. It is masked before the row maximum is taken, or a large similarity with itself would
# underflow all others; with a finite value, because a batch of one has nothing else in its row.
MASKED = -1e30


@dataclass(frozen=True)
class Pairs:
    """
    All pairs of an anchor and a candidate.

    Args:
        labels (`torch.LongTensor` of shape `(batch,)`): class of each anchor.
        candidate_labels (`torch.LongTensor` of shape `(candidates,)`): class of each candidate.
        anchor_positions (`torch.LongTensor` of shape `(batch,)`, *optional*): row of each anchor among the candidates,
            with which it makes no pair; `None` if no anchor is one of them.
    """

    labels: Tensor
    candidate_labels: Tensor
    anchor_positions: Tensor | None

    @cached_property
    def positives(self) -> Tensor:
        """How many positives each anchor has: a `torch.LongTensor` of shape `(batch,)`."""
        ordered = self.candidate_labels.sort().values
        first, last = torch.searchsorted(ordered, self.labels), torch.searchsorted(ordered, self.labels, right=True)
        return last - first if self.anchor_positions is None else last - first - 1
