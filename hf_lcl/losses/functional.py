"""
The two contrastive losses as pure functions of tensors.

For anchors `i` with embedding `h_i`, class `y_i`, positives `P(i) = {p != i : y_p = y_i}` and temperature `tau`:

    SCL_i = -1/|P(i)| * sum_{p in P(i)} log( exp(h_i.h_p / tau) / sum_{k != i} exp(h_i.h_k / tau) )
    LCL_i = -w[i, y_i]/|P(i)| * sum_{p in P(i)} log( exp(h_i.h_p / tau) / sum_{k != i} w[i, y_k] exp(h_i.h_k / tau) )

where `w_i` are the weighting network's class probabilities for text `i`. The weight of the anchor's own class stands
outside the logarithm, as in the paper's code and in its later correction; Eq. 3 of the paper prints it inside.
"""

import torch
from torch import Tensor


REDUCTIONS = ("mean", "sum", "none")


def supervised_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float = 0.3,
    normalize: bool = True,
    reduction: str = "mean",
) -> Tensor:
    r"""
    Supervised contrastive loss ([Khosla et al., 2020](https://huggingface.co/papers/2004.11362), their L_out).

    Computed in fp32 (or float64 for float64 input), whatever autocast says.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): any floating dtype.
        labels (`torch.LongTensor` of shape `(batch,)`): class of each text.
        temperature (`float`, *optional*, defaults to 0.3): divides the similarities; must be positive.
        normalize (`bool`, *optional*, defaults to `True`): whether embeddings are L2-normalised first, so that
            similarities are cosines.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"` over the anchors that have a positive, `"sum"`,
            or `"none"`. An anchor without a positive counts 0 and leaves the mean unchanged.

    Returns:
        `torch.Tensor` of shape `()`, or `(batch,)` for `reduction="none"`.

    Raises:
        ValueError: for shapes that do not fit, `temperature <= 0` or an unknown `reduction`.
        TypeError: for labels that are not integers or embeddings that are not floating point.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl import supervised_contrastive_loss

    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> round(supervised_contrastive_loss(embeddings, torch.tensor([0, 0, 1, 1])).item(), 4)
    0.0689
    ```
    """
    _check(embeddings, labels, temperature, reduction)
    per_anchor, valid = _per_anchor(embeddings, labels.long(), None, temperature, normalize)
    return _reduce(per_anchor, valid, reduction)


def label_aware_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor,
    *,
    temperature: float = 0.3,
    normalize: bool = True,
    detach_weights: bool = False,
    reduction: str = "mean",
) -> Tensor:
    r"""
    Label-aware contrastive loss ([Suresh & Ong, 2021](https://huggingface.co/papers/2109.05427)): classes that the
    weighting network finds likely for a text weigh more among its negatives.

    With equal weights `1/C` it is `(SCL - log C) / C`. It can be negative (not below -1/e with one positive), so its
    sign says nothing about the health of a run. Computed in fp32 (or float64 for float64 input).

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): any floating dtype.
        labels (`torch.LongTensor` of shape `(batch,)`): class of each text, in `[0, num_labels)`.
        weighting_logits (`torch.Tensor` of shape `(batch, num_labels)`): the weighting network's, before the softmax.
        temperature (`float`, *optional*, defaults to 0.3): divides the similarities; must be positive.
        normalize (`bool`, *optional*, defaults to `True`): whether embeddings are L2-normalised first.
        detach_weights (`bool`, *optional*, defaults to `False`): whether to keep this loss's gradient from the
            weighting network. In the paper it flows.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"` over the anchors that have a positive, `"sum"`
            (the paper's form), or `"none"`. An anchor without a positive counts 0 and leaves the mean unchanged.

    Returns:
        `torch.Tensor` of shape `()`, or `(batch,)` for `reduction="none"`.

    Raises:
        ValueError: for shapes that do not fit, `temperature <= 0` or an unknown `reduction`.
        TypeError: for labels that are not integers or embeddings that are not floating point.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl import label_aware_contrastive_loss

    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> weighting_logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    >>> loss = label_aware_contrastive_loss(embeddings, torch.tensor([0, 0, 1, 1]), weighting_logits)
    >>> round(loss.item(), 4)
    -0.1033
    ```
    """
    _check(embeddings, labels, temperature, reduction)
    if not torch.is_tensor(weighting_logits) or not weighting_logits.is_floating_point():
        raise TypeError(
            f"weighting_logits must be a floating point tensor, got {weighting_logits!r:.60}: a model with "
            'weighting="none" has none.'
        )
    if weighting_logits.ndim != 2 or len(weighting_logits) != len(labels):
        raise ValueError(
            f"weighting_logits must have shape (batch, num_labels) with batch = {len(labels)}, got "
            f"{tuple(weighting_logits.shape)}."
        )
    log_weights = _compute_dtype(weighting_logits).log_softmax(dim=1)
    if detach_weights:
        log_weights = log_weights.detach()
    per_anchor, valid = _per_anchor(embeddings, labels.long(), log_weights, temperature, normalize)
    return _reduce(per_anchor, valid, reduction)


def _per_anchor(
    embeddings: Tensor, labels: Tensor, log_weights: Tensor | None, temperature: float, normalize: bool
) -> tuple[Tensor, Tensor]:
    """Loss of each anchor `(batch,)`, 0 without a positive, and which anchors have one. The direct K x K form."""
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        embeddings = _compute_dtype(embeddings)
        if normalize:
            embeddings = torch.nn.functional.normalize(embeddings, dim=1)
        similarities = embeddings @ embeddings.T / temperature
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positives = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
        count = positives.sum(dim=1)
        valid = count > 0
        logits = similarities if log_weights is None else similarities + log_weights[:, labels]
        # Masked before the row maximum is taken, or a large similarity with itself underflows all others. A finite
        # value, because a batch of one has nothing else in its row.
        log_denominator = logits.masked_fill(itself, torch.finfo(logits.dtype).min).logsumexp(dim=1)
        mean_positive = torch.where(positives, similarities, 0).sum(dim=1) / count.clamp(min=1)
        per_anchor = torch.where(valid, log_denominator, 0) - mean_positive
        if log_weights is not None:
            per_anchor = per_anchor * log_weights.gather(1, labels.unsqueeze(1)).squeeze(1).exp()
        return per_anchor, valid


def _reduce(per_anchor: Tensor, valid: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return per_anchor
    total = per_anchor.sum()
    return total if reduction == "sum" else total / valid.sum().clamp(min=1)


def _compute_dtype(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _check(embeddings: Tensor, labels: Tensor, temperature: float, reduction: str) -> None:
    if not embeddings.is_floating_point():
        raise TypeError(f"embeddings must be floating point, got {embeddings.dtype}.")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be class ids (integers), got {labels.dtype}.")
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            "embeddings must have shape (batch, hidden) and labels (batch,), got "
            f"{tuple(embeddings.shape)} and {tuple(labels.shape)}."
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; 0.05 to 0.5 is usual for cosines.")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is unknown: use one of {', '.join(map(repr, REDUCTIONS))}.")
