"""
The reference implementation of both losses: the documented formulas, anchor by anchor in float64. Also the batch of
most tests, with one label per text or several.
"""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


# Classes of unequal size: class 2 and class 4 have one text each, class 5 none.
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 4, 3, 1])
# The same as indicator rows, where texts have one label, two, or none (text 7). Label 4 is the second one of text 9.
ROWS = one_hot(LABELS, 6)
ROWS[[0, 4, 5, 8, 9], [1, 3, 1, 0, 4]] = 1
ROWS[7] = 0
# The texts without a positive.
ALONE = torch.tensor([3, 7])


def batch(several: bool, dtype: torch.dtype = torch.float64, hidden: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, `LABELS` or `ROWS`, and weighting logits; the same in every test."""
    generator = torch.Generator().manual_seed(0)
    embeddings, logits = (torch.randn(len(LABELS), n, generator=generator).to(dtype) for n in (hidden, 6))
    return embeddings.requires_grad_(), ROWS if several else LABELS, logits.requires_grad_()


def others(several: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of candidates that are not anchors; some have class 5, which no anchor has."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.tensor([2, 5, 0, 0, 5, 4, 1])
    if several:
        labels = one_hot(labels, 6)
        labels[[2, 4, 5], [5, 3, 0]] = 1
        labels[3] = 0
    return torch.randn(7, 5, generator=generator).to(dtype).requires_grad_(), labels


def scl(embeddings: Tensor, labels: Tensor, weighting_logits: Tensor, **options) -> Tensor:
    """The supervised loss with the signature of the label-aware one, so that a test can run on both."""
    return supervised_contrastive_loss(embeddings, labels, **options)


both = pytest.mark.parametrize("loss", [scl, label_aware_contrastive_loss], ids=["scl", "lcl"])


def label_sets(labels: Tensor) -> list[list[int]]:
    """The labels of each text, of classes `(texts,)` or of indicator rows `(texts, classes)`."""
    return [row.nonzero().flatten().tolist() if row.dim() else [row.item()] for row in labels]


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
    """The expected value of `loss`: for each anchor, a mean over its labels, each with its own positives."""
    if candidate_embeddings is None:
        candidate_embeddings, candidate_labels, anchor_positions = embeddings, labels, torch.arange(len(labels))
    h, c, z = (x.double() for x in (embeddings, candidate_embeddings, weighting_logits))
    if normalize:
        h, c = (x / x.square().sum(dim=1, keepdim=True).sqrt() for x in (h, c))
    temperatures = torch.as_tensor(temperature, dtype=torch.float64).reshape(-1).expand(len(h) if len(h) else 1)
    of_candidates, per_anchor, valid = label_sets(candidate_labels), [], 0
    for i, of_anchor in enumerate(label_sets(labels)):
        own = None if anchor_positions is None else anchor_positions[i].item()
        candidates = [k for k in range(len(c)) if k != own]
        positives = [[p for p in candidates if label in of_candidates[p]] for label in of_anchor]
        positives = [each for each in positives if each]
        value = 0 * h[i].sum()
        if positives:
            similarity = (c * h[i]).sum(dim=1) / temperatures[i]
            highest = similarity[candidates].max().detach()  # cancels in the ratio, and keeps exp() in range
            weight, weights = torch.ones(()), torch.ones(len(candidates))
            if loss is not scl:
                w = z[i].exp() / z[i].exp().sum()
                # The weight of a text is the mean over its labels, or over all labels if it has none.
                weight, *rest = (
                    w[of or slice(None)].mean() for of in [of_anchor, *(of_candidates[k] for k in candidates)]
                )
                weights = torch.stack(rest)
            denominator = (weights * (similarity[candidates] - highest).exp()).sum()
            ratios = [(similarity[each] - highest - denominator.log()).mean() for each in positives]
            value = -weight * torch.stack(ratios).mean()
            valid += 1
        per_anchor.append(value)
    losses = torch.stack(per_anchor)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / max(valid, 1)}[reduction]
