"""
The two contrastive losses as pure functions of tensors.

For anchors `i` with embedding `h_i`, class `y_i`, positives `P(i) = {p != i : y_p = y_i}` and temperature `tau`:

    SCL_i = -1/|P(i)| * sum_{p in P(i)} log( exp(h_i.h_p / tau) / sum_{k != i} exp(h_i.h_k / tau) )
    LCL_i = -w[i, y_i]/|P(i)| * sum_{p in P(i)} log( exp(h_i.h_p / tau) / sum_{k != i} w[i, y_k] exp(h_i.h_k / tau) )

where `w_i` are the weighting network's class probabilities for text `i`. The weight of the anchor's own class is
outside the logarithm, as in the paper's code and in its later correction.

With several labels per text (MulSupCon of Zhang & Wu, AAAI 2024), labels are indicator rows `(batch, classes)`.
`SCL_i` is then a mean over those labels `c` of anchor `i` that another text has, each with the positives
`P(i, c) = {p != i : c in Y_p}`. `w[i, Y_k]` is the mean of `w[i, c]` over the labels of text `k`, or over all classes
if it has none. A text without labels is a negative of all others, but not an anchor. With one label per row, both
equal the losses above.

The sums over `p` and `k` run over the batch or, if given, over any number of candidates.
"""

from typing import Any

import torch
from torch import Tensor

from .checks import OPTIONAL, check_inputs
from .log_ratios import log_ratios
from .pairs import Inputs, make_pairs, mean_rows


def supervised_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor = 0.3,
    normalize: bool = True,
    reduction: str = "mean",
    candidate_embeddings: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    anchor_positions: Tensor | None = None,
) -> Tensor:
    r"""
    Supervised contrastive loss ([Khosla et al., 2020](https://huggingface.co/papers/2004.11362), their L_out).

    Computed in fp32 (or float64 for float64 input), also under autocast. Memory grows linearly with the batch size.
    Works under `torch.func.grad`, and in a function compiled with `fullgraph=True`, where values are not checked.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): any floating dtype.
        labels (`torch.LongTensor` of shape `(batch,)`): class of each text, 0 or more. With several labels per text,
            indicator rows of 0 and 1 `(batch, classes)`, of any dtype.
        temperature (`float` or `torch.Tensor` of shape `()` or `(batch,)`, *optional*, defaults to 0.3): divides the
            similarities; must be positive. A tensor gets a gradient, and may have one value per anchor.
        normalize (`bool`, *optional*, defaults to `True`): whether embeddings are L2-normalised first, so that
            similarities are cosines.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"` over the anchors that have a positive, `"sum"`,
            or `"none"`. An anchor without a positive has the loss 0 and is not counted in the mean.
        candidate_embeddings (`torch.Tensor` of shape `(candidates, hidden)`, *optional*): what the anchors are
            compared with, such as the batch of all processes; in the dtype of `embeddings`. Gradients flow into it. By
            default, the anchors are compared with one another.
        candidate_labels (`torch.LongTensor` of shape `(candidates,)`, *optional*): their labels, in the same form.
        anchor_positions (`torch.LongTensor` of shape `(batch,)`, *optional*): index of each anchor among the
            candidates; by default, no anchor is one of them.

    Returns:
        `torch.Tensor` of shape `()`, or `(batch,)` for `reduction="none"`.

    Raises:
        ValueError: for shapes, devices, labels or positions that do not fit, embeddings with NaN or infinity, a
            temperature that is not positive, an unknown `reduction`, or under `torch.vmap`.
        TypeError: for labels that are not integers, or embeddings that are not floating point or of two dtypes.
        RuntimeError: if the loss is differentiated twice.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl import supervised_contrastive_loss

    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> round(supervised_contrastive_loss(embeddings, torch.tensor([0, 0, 1, 1])).item(), 4)
    0.0689
    ```
    """
    candidates: dict[str, Any] = dict(zip(OPTIONAL, (candidate_embeddings, candidate_labels, anchor_positions)))
    inputs = {"embeddings": embeddings, "labels": labels} | candidates
    check_inputs(inputs, temperature, reduction)
    return contrastive_loss(**inputs, temperature=temperature, normalize=normalize, reduction=reduction)


def label_aware_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor,
    *,
    temperature: float | Tensor = 0.3,
    normalize: bool = True,
    detach_weights: bool = False,
    reduction: str = "mean",
    candidate_embeddings: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    anchor_positions: Tensor | None = None,
) -> Tensor:
    r"""
    Label-aware contrastive loss ([Suresh & Ong, 2021](https://huggingface.co/papers/2109.05427)): classes that the
    weighting network finds likely for a text weigh more among its negatives.

    With equal weights `1/C` it is `(SCL - log C) / C`. It can be negative (not below -1/e with one positive), which is
    not a sign of a failed run. `reduction="sum"` is the paper's form.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): any floating dtype.
        labels (`torch.LongTensor` of shape `(batch,)`): class of each text, in `[0, num_labels)`. With several labels
            per text, indicator rows of 0 and 1 `(batch, num_labels)`, of any dtype.
        weighting_logits (`torch.Tensor` of shape `(batch, num_labels)`): the weighting network's, before the softmax.
        temperature (`float` or `torch.Tensor`, *optional*, defaults to 0.3): as in [`supervised_contrastive_loss`],
            like all arguments below except `detach_weights`, the returned value and the errors.
        normalize (`bool`, *optional*, defaults to `True`): see there.
        detach_weights (`bool`, *optional*, defaults to `False`): whether to detach the weights, so that this loss does
            not train the weighting network. The paper keeps the gradient.
        reduction (`str`, *optional*, defaults to `"mean"`): see there.
        candidate_embeddings (`torch.Tensor`, *optional*): see there.
        candidate_labels (`torch.LongTensor`, *optional*): see there.
        anchor_positions (`torch.LongTensor`, *optional*): see there.

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
    candidates: dict[str, Any] = dict(zip(OPTIONAL, (candidate_embeddings, candidate_labels, anchor_positions)))
    inputs = {"embeddings": embeddings, "labels": labels, "weighting_logits": weighting_logits} | candidates
    check_inputs(inputs, temperature, reduction)
    if detach_weights:
        inputs["weighting_logits"] = weighting_logits.detach()
    return contrastive_loss(**inputs, temperature=temperature, normalize=normalize, reduction=reduction)


def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor | None = None,
    candidate_embeddings: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    anchor_positions: Tensor | None = None,
    *,
    temperature: float | Tensor,
    normalize: bool,
    reduction: str,
) -> Tensor:
    """Either loss without input checks, which would wait for the device; supervised without `weighting_logits`."""
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    if weighting_logits is not None:
        dtype = torch.promote_types(weighting_logits.dtype, dtype)
    anchors, candidates = _vectors(embeddings, dtype, normalize), None
    labels = labels.to(dtype) if labels.dim() == 2 else labels.long()
    if candidate_embeddings is None or candidate_labels is None:
        candidate_labels, anchor_positions = labels, torch.arange(len(labels), device=labels.device)
    else:
        candidates = _vectors(candidate_embeddings, dtype, normalize)
        candidate_labels = candidate_labels.to(labels.dtype)
        anchor_positions = None if anchor_positions is None else anchor_positions.long()
    log_weights = None if weighting_logits is None else _log_weights(weighting_logits.to(dtype))
    num_labels = None if weighting_logits is None else weighting_logits.shape[1]
    pairs = make_pairs(labels, candidate_labels, anchor_positions, num_labels)
    if torch.is_tensor(temperature):
        # Dividing an anchor divides its row of similarities; the candidates must stay undivided.
        candidates = anchors if candidates is None else candidates
        anchors, temperature = anchors / temperature.to(anchors).reshape(-1, 1), 1.0

    weights = valid = (pairs.positives > 0).to(dtype)
    if log_weights is not None:
        if labels.dim() == 2:
            weights = valid * (log_weights.exp() * mean_rows(labels)).sum(dim=1)
        else:
            weights = valid * log_weights.gather(1, labels.unsqueeze(1)).squeeze(1).exp()
    inputs = Inputs(anchors, candidates, log_weights)
    if reduction == "none":
        return weights * log_ratios(inputs, pairs, temperature)
    if reduction == "mean":
        weights = weights / valid.sum().clamp(min=1)
    return log_ratios(inputs, pairs, temperature, coefficients=weights)


def _log_weights(weighting_logits: Tensor) -> Tensor:
    return weighting_logits.log_softmax(dim=1)


def _vectors(embeddings: Tensor, dtype: torch.dtype, normalize: bool) -> Tensor:
    embeddings = embeddings.to(dtype)
    if not normalize:
        return embeddings
    # As F.normalize does, but the square of 1.8e19 overflows in fp32: each row is divided by its largest entry first.
    largest = torch.linalg.vector_norm(embeddings.detach(), torch.inf, dim=1, keepdim=True).clamp(min=1e-12)
    scaled = embeddings / largest
    return scaled * torch.linalg.vector_norm(scaled, dim=1, keepdim=True).clamp(min=1).reciprocal()
