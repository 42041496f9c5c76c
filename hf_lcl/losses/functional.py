"""
The two contrastive losses as pure functions of tensors.

For anchors `i` with embedding `h_i`, class `y_i`, positives `P(i) = {p != i : y_p = y_i}` and temperature `tau`:

    SCL_i = -1/|P(i)| * sum_{p in P(i)} log( exp(h_i.h_p / tau) / sum_{k != i} exp(h_i.h_k / tau) )
    LCL_i = -w[i, y_i]/|P(i)| * sum_{p in P(i)} log( exp(h_i.h_p / tau) / sum_{k != i} w[i, y_k] exp(h_i.h_k / tau) )

where `w_i` are the weighting network's class probabilities for text `i`. The weight of the anchor's own class stands
outside the logarithm, as in the paper's code and in its later correction. Eq. 3 of the paper prints it inside, which
`weight_placement="inside"` computes:

    LCL_i = -1/|P(i)| * sum_{p in P(i)} log( w[i, y_i] exp(h_i.h_p / tau) / sum_{k != i} w[i, y_k] exp(h_i.h_k / tau) )

The sums over `p` and `k` go over the batch or, where they are given, over candidates of any number.
"""

import torch
from torch import Tensor

from .inputs import (
    check_batch,
    check_candidates,
    check_finite,
    check_options,
    check_weight_placement,
    check_weighting_logits,
)
from .log_ratios import log_ratios, weighted_log_ratio
from .pairs import Pairs


def supervised_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float = 0.3,
    normalize: bool = True,
    reduction: str = "mean",
    temperature_scaling: str = "none",
    candidate_embeddings: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    anchor_positions: Tensor | None = None,
) -> Tensor:
    r"""
    Supervised contrastive loss ([Khosla et al., 2020](https://huggingface.co/papers/2004.11362), their L_out).

    Computed in fp32 (or float64 for float64 input), whatever autocast says. Memory grows with the batch, not with its
    square.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): any floating dtype.
        labels (`torch.LongTensor` of shape `(batch,)`): class of each text.
        temperature (`float`, *optional*, defaults to 0.3): divides the similarities; must be positive.
        normalize (`bool`, *optional*, defaults to `True`): whether embeddings are L2-normalised first, so that
            similarities are cosines.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"` over the anchors that have a positive, `"sum"`,
            or `"none"`. An anchor without a positive counts 0 and leaves the mean unchanged.
        temperature_scaling (`str`, *optional*, defaults to `"none"`): `"positives"` gives each anchor a temperature of
            its own, `tau_i = temperature * |P(i)|`, so that an anchor with many positives stresses the closest texts
            less. For comparison: "Happy is Farther From Sad Than Joyful" reports that a temperature which changes with
            the number of positives did not help.
        candidate_embeddings (`torch.Tensor` of shape `(candidates, hidden)`, *optional*): what the anchors are
            compared with, such as the batch of all processes; in the dtype of `embeddings`. Gradients flow
            into it. Left out, the anchors are compared with one another.
        candidate_labels (`torch.LongTensor` of shape `(candidates,)`, *optional*): their classes.
        anchor_positions (`torch.LongTensor` of shape `(batch,)`, *optional*): which candidates are the anchors
            themselves; none when left out.

    Returns:
        `torch.Tensor` of shape `()`, or `(batch,)` for `reduction="none"`.

    Raises:
        ValueError: for shapes, devices or positions that do not fit, embeddings with NaN or infinity,
            `temperature <= 0`, or an unknown `reduction` or `temperature_scaling`.
        TypeError: for labels that are not integers, or embeddings that are not floating point or of two dtypes.
        RuntimeError: when the gradient is differentiated once more.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl import supervised_contrastive_loss

    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> round(supervised_contrastive_loss(embeddings, torch.tensor([0, 0, 1, 1])).item(), 4)
    0.0689
    ```
    """
    check_options(temperature, reduction, temperature_scaling)
    check_batch(embeddings, labels)
    check_candidates(embeddings, labels, candidate_embeddings, candidate_labels, anchor_positions)
    return _loss(
        embeddings,
        labels,
        None,
        candidate_embeddings,
        candidate_labels,
        anchor_positions,
        temperature=temperature,
        normalize=normalize,
        reduction=reduction,
        temperature_scaling=temperature_scaling,
    )


def label_aware_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor,
    *,
    temperature: float = 0.3,
    normalize: bool = True,
    detach_weights: bool = False,
    reduction: str = "mean",
    weight_placement: str = "outside",
    temperature_scaling: str = "none",
    candidate_embeddings: Tensor | None = None,
    candidate_labels: Tensor | None = None,
    anchor_positions: Tensor | None = None,
) -> Tensor:
    r"""
    Label-aware contrastive loss ([Suresh & Ong, 2021](https://huggingface.co/papers/2109.05427)): classes that the
    weighting network finds likely for a text weigh more among its negatives.

    With equal weights `1/C` it is `(SCL - log C) / C`. It can be negative (not below -1/e with one positive), so its
    sign says nothing about the health of a run. With `weight_placement="inside"` it is never negative, and SCL itself
    for equal weights.

    Computed in fp32 (or float64 for float64 input). Memory grows with the batch, not with its square.

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
        weight_placement (`str`, *optional*, defaults to `"outside"`): whether the weight of the anchor's own class
            stands `"outside"` the logarithm, or `"inside"`, as in the paper's Eq. 3.
        temperature_scaling (`str`, *optional*, defaults to `"none"`): as in [`supervised_contrastive_loss`].
        candidate_embeddings (`torch.Tensor` of shape `(candidates, hidden)`, *optional*): what the anchors are
            compared with, such as the batch of all processes; in the dtype of `embeddings`. Gradients flow
            into it. Left out, the anchors are compared with one another.
        candidate_labels (`torch.LongTensor` of shape `(candidates,)`, *optional*): their classes.
        anchor_positions (`torch.LongTensor` of shape `(batch,)`, *optional*): which candidates are the anchors
            themselves; none when left out.

    Returns:
        `torch.Tensor` of shape `()`, or `(batch,)` for `reduction="none"`.

    Raises:
        ValueError: for shapes, devices, labels or positions that do not fit, embeddings with NaN or infinity,
            `temperature <= 0`, or an unknown `reduction`, `weight_placement` or `temperature_scaling`.
        TypeError: for labels that are not integers, or embeddings that are not floating point or of two dtypes.
        RuntimeError: when the gradient is differentiated once more.

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
    check_options(temperature, reduction, temperature_scaling)
    check_batch(embeddings, labels)
    check_candidates(embeddings, labels, candidate_embeddings, candidate_labels, anchor_positions)
    check_weight_placement(weight_placement)
    check_weighting_logits(weighting_logits, embeddings, labels, candidate_labels)
    return _loss(
        embeddings,
        labels,
        weighting_logits.detach() if detach_weights else weighting_logits,
        candidate_embeddings,
        candidate_labels,
        anchor_positions,
        temperature=temperature,
        normalize=normalize,
        reduction=reduction,
        temperature_scaling=temperature_scaling,
        weight_placement=weight_placement,
    )


def _loss(
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor | None,
    candidate_embeddings: Tensor | None,
    candidate_labels: Tensor | None,
    anchor_positions: Tensor | None,
    *,
    temperature: float,
    normalize: bool,
    reduction: str,
    temperature_scaling: str,
    weight_placement: str = "outside",
) -> Tensor:
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    if weighting_logits is not None:
        dtype = torch.promote_types(weighting_logits.dtype, dtype)
    anchors = candidates = _vectors(embeddings, dtype, normalize)
    labels = labels.long()
    if candidate_embeddings is None:
        candidate_labels, anchor_positions = labels, torch.arange(len(labels), device=labels.device)
    else:
        candidates, candidate_labels = _vectors(candidate_embeddings, dtype, normalize), candidate_labels.long()
        anchor_positions = None if anchor_positions is None else anchor_positions.long()
    pairs = Pairs(labels, candidate_labels, anchor_positions)
    if temperature_scaling == "positives":
        # What divides a row of the similarities may as well divide its anchor, which is then no candidate any more.
        anchors = anchors / pairs.positives.clamp(min=1).unsqueeze(1)

    log_weights = None
    weights = valid = (pairs.positives > 0).to(dtype)
    if weighting_logits is not None:
        log_weights = weighting_logits.to(dtype).log_softmax(dim=1)
        log_weight = log_weights.gather(1, labels.unsqueeze(1))
        if weight_placement == "outside":
            weights = valid * log_weight.squeeze(1).exp()
        else:
            # To multiply in the logarithm is to divide all weights below the fraction bar.
            log_weights = log_weights - log_weight
    if reduction == "mean":
        weights = weights / valid.sum().clamp(min=1)
    if reduction == "none":
        loss = weights * log_ratios(anchors, candidates, log_weights, pairs, temperature)
    else:
        loss = weighted_log_ratio(weights, anchors, candidates, log_weights, pairs, temperature)
    check_finite(
        loss,
        embeddings=embeddings,
        weighting_logits=weighting_logits,
        candidate_embeddings=candidate_embeddings,
    )
    return loss


def _vectors(embeddings: Tensor, dtype: torch.dtype, normalize: bool) -> Tensor:
    embeddings = embeddings.to(dtype)
    if not normalize:
        return embeddings
    # As F.normalize does, but a division needs one matrix of this size more in the backward pass.
    lengths = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True).clamp(min=1e-12)
    return embeddings * lengths.reciprocal()
