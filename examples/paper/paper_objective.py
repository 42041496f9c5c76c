"""Formulas of the papers that hf_lcl has no argument for, because they did not help or are misprints."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hf_lcl.losses import Objective


@dataclass(frozen=True)
class PaperObjective(Objective):
    """
    The objective with variants of its contrastive loss.

    Args:
        weight_placement (`str`, *optional*, defaults to `"outside"`): whether the weight of the anchor's own class is
            `"outside"` the logarithm, or `"inside"` it as in Eq. 3 of "Not All Negatives are Equal".
        temperature_scaling (`str`, *optional*, defaults to `"none"`): `"positives"` multiplies the temperature by the
            anchor's number of positives, which does not work according to "Happy is Farther From Sad Than Joyful".
    """

    weight_placement: str = "outside"
    temperature_scaling: str = "none"

    def contrastive_loss(
        self, embeddings: Tensor, labels: Tensor, weighting_logits: Tensor | None, **options: Any
    ) -> Tensor:
        others, positions = options.get("candidate_labels"), options.get("anchor_positions")
        positives = ((labels if others is None else others) == labels.unsqueeze(1)).sum(dim=1)
        positives = positives - (1 if others is None or positions is not None else 0)
        if self.temperature_scaling == "positives":
            options["temperature"] = self.temperature * positives.clamp(min=1)
        if self.weight_placement == "outside" or weighting_logits is None:
            return super().contrastive_loss(embeddings, labels, weighting_logits, **options)
        # With R the unweighted mean of the logarithms, the loss is w R for "outside" and R - log w for "inside". In
        # float64, w stays above 0 even where the weighting network is certain.
        if self.detach_weights:
            weighting_logits = weighting_logits.detach()
        logits, reduction = weighting_logits.double(), options.pop("reduction")
        log_w = logits.log_softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
        outside = super().contrastive_loss(embeddings, labels, logits, reduction="none", **options)
        losses = torch.where(positives > 0, outside / log_w.exp() - log_w, 0)
        if reduction == "none":
            return losses
        return losses.sum() / ((positives > 0).sum().clamp(min=1) if reduction == "mean" else 1)
