"""
Both losses as the documentation prints them, pair by pair in float64: what the fast forms are held against. And the
batch on which most tests run.
"""

import pytest
import torch
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


# Classes of unequal size: class 2 and class 4 have one text each, class 5 none.
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 4, 3, 1])


def batch(dtype: torch.dtype = torch.float64, hidden: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, `LABELS` and weighting logits, the same ones in every test."""
    generator = torch.Generator().manual_seed(0)
    embeddings, logits = (torch.randn(len(LABELS), n, generator=generator).to(dtype) for n in (hidden, 6))
    return embeddings.requires_grad_(), LABELS, logits.requires_grad_()


def others(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of candidates that are no anchors; some are of class 5, of which no anchor is."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(7, 5, generator=generator).to(dtype).requires_grad_(), torch.tensor([2, 5, 0, 0, 5, 4, 1])


def scl(embeddings: Tensor, labels: Tensor, weighting_logits: Tensor, **options) -> Tensor:
    """The supervised loss under the other's signature, so that a test can run on both."""
    return supervised_contrastive_loss(embeddings, labels, **options)


both = pytest.mark.parametrize("loss", [scl, label_aware_contrastive_loss], ids=["scl", "lcl"])


def formula(
    loss,
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor,
    *,
    temperature: float | Tensor = 0.3,
    normalize: bool = True,
    reduction: str = "mean",
    candidate_embeddings: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    anchor_positions: Tensor | None = None,
) -> Tensor:
    """What `loss`, one of `both`, should be."""
    if candidate_embeddings is None:
        candidate_embeddings, candidate_labels, anchor_positions = embeddings, labels, torch.arange(len(labels))
    h, c, z, y = (
        embeddings.double(),
        candidate_embeddings.double(),
        weighting_logits.double(),
        candidate_labels.tolist(),
    )
    if normalize:
        h, c = (x / x.square().sum(dim=1, keepdim=True).sqrt() for x in (h, c))
    temperatures = torch.as_tensor(temperature, dtype=torch.float64).reshape(-1).expand(len(h) if len(h) else 1)
    per_anchor, valid = [], 0
    for i, label in enumerate(labels.tolist()):
        own = None if anchor_positions is None else anchor_positions[i].item()
        candidates = [k for k in range(len(y)) if k != own]
        positives = [p for p in candidates if y[p] == label]
        value = 0 * h[i].sum()
        if positives:
            w = torch.ones(max(y) + 1, dtype=torch.float64) if loss is scl else z[i].exp() / z[i].exp().sum()
            similarity = (c * h[i]).sum(dim=1) / temperatures[i]
            highest = similarity[candidates].max().detach()  # leaves the ratio as it is, and exp() in range
            denominator = sum(w[y[k]] * (similarity[k] - highest).exp() for k in candidates)
            for p in positives:
                value = value - w[label] / len(positives) * (similarity[p] - highest - denominator.log())
            valid += 1
        per_anchor.append(value)
    losses = torch.stack(per_anchor)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / max(valid, 1)}[reduction]
