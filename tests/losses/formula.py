"""Both losses as the documentation prints them, pair by pair, for the fast forms to be held against."""

import torch
from torch import Tensor


def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor | None = None,
    *,
    temperature: float = 0.3,
    normalize: bool = True,
    reduction: str = "mean",
    weight_placement: str = "outside",
    temperature_scaling: str = "none",
    candidate_embeddings: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    anchor_positions: Tensor | None = None,
) -> Tensor:
    """The label-aware loss or, without weighting logits, the supervised one; to be called in float64."""
    if candidate_embeddings is None:
        candidate_embeddings, candidate_labels, anchor_positions = embeddings, labels, torch.arange(len(labels))
    h, c, y = embeddings, candidate_embeddings, candidate_labels.tolist()
    if normalize:
        h, c = (x / x.square().sum(dim=1, keepdim=True).sqrt() for x in (h, c))
    per_anchor, valid = [], 0
    for i, label in enumerate(labels.tolist()):
        itself = -1 if anchor_positions is None else anchor_positions[i].item()
        others = [k for k in range(len(y)) if k != itself]
        positives = [p for p in others if y[p] == label]
        loss = 0 * h[i].sum()
        if positives:
            w = torch.ones(max(y) + 1, dtype=h.dtype)
            if weighting_logits is not None:
                w = weighting_logits[i].exp() / weighting_logits[i].exp().sum()
            tau = temperature * len(positives) if temperature_scaling == "positives" else temperature
            similarity = (c * h[i]).sum(dim=1) / tau
            denominator = sum(w[y[k]] * similarity[k].exp() for k in others)
            outside, inside = (w[label], 1) if weight_placement == "outside" else (1, w[label])
            for p in positives:
                loss = loss - outside / len(positives) * (inside * similarity[p].exp() / denominator).log()
            valid += 1
        per_anchor.append(loss)
    losses = torch.stack(per_anchor)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / max(valid, 1)}[reduction]
