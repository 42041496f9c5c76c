"""Cross-entropy in fp32, of a batch or of a part of one."""

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    total: Tensor | float | None = None,
) -> Tensor:
    """
    `torch.nn.functional.cross_entropy` in fp32 (or float64 for float64 input), and 0 instead of NaN for a batch
    without texts or with a total weight of 0. For indicator rows `(batch, num_labels)`, it is
    `binary_cross_entropy_with_logits`, the mean over texts and classes, with `class_weights` as `pos_weight`.

    The sum over the texts is divided by `total`, such as the weight of a batch that these are a part of; by default,
    as in torch, by the sum of their weights.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    weights = None if class_weights is None else class_weights.to(logits)
    if labels.dim() == 2:
        return _binary_cross_entropy(logits, labels.to(logits), weights, label_smoothing, total)
    if total is None and weights is None and len(labels):
        return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    if total is None:
        total = 0.0 if weights is None else weights[labels].sum()
    total = torch.as_tensor(total, dtype=logits.dtype, device=logits.device)
    loss = functional.cross_entropy(logits, labels, weight=weights, label_smoothing=label_smoothing, reduction="sum")
    return loss * (total > 0) / total.clamp(min=torch.finfo(loss.dtype).tiny)


def _binary_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, label_smoothing: float, total: Tensor | float | None
) -> Tensor:
    if label_smoothing:
        labels = labels * (1 - label_smoothing) + label_smoothing / 2
    loss = functional.binary_cross_entropy_with_logits
    if total is None and len(labels):
        return loss(logits, labels, pos_weight=weights)
    count = torch.as_tensor(total or 1.0, dtype=logits.dtype, device=logits.device) * logits.shape[1]
    return loss(logits, labels, pos_weight=weights, reduction="sum") / count
