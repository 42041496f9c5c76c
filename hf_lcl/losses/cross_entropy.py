"""Cross-entropy, as it is and as it is changed for classes of unequal size."""

import torch
from torch import Tensor
from torch.nn import functional


def check_focal(focal_gamma: float, label_smoothing: float) -> None:
    """Raises a `ValueError` for a `focal_gamma` that is negative, or that meets label smoothing."""
    if focal_gamma < 0:
        raise ValueError(f"focal_gamma={focal_gamma} cannot be negative: 0 is cross-entropy, 2 is usual.")
    if focal_gamma and label_smoothing:
        raise ValueError(
            f"focal_gamma={focal_gamma} asks how likely the one true class is, but label_smoothing={label_smoothing} "
            "makes all classes a little true: set one of them to 0."
        )


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    logit_adjustment: Tensor | None = None,
    focal_gamma: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    r"""
    `torch.nn.functional.cross_entropy` in fp32 (or float64 for float64 input), with two options more.

    For a text with logits `f`, class `y`, adjustment `a`, weight `v[y]` and `p = softmax(f + a)` the loss is

        -v[y] * (1 - p[y])^gamma * log p[y]

    Args:
        logits (`torch.Tensor` of shape `(batch, num_labels)`): any floating dtype.
        labels (`torch.LongTensor` of shape `(batch,)`): classes.
        class_weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): the `v`.
        label_smoothing (`float`, *optional*, defaults to 0.0): as in torch.
        logit_adjustment (`torch.Tensor` of shape `(num_labels,)`, *optional*): the `a`, `tau` times the logarithm of
            each class's share of the training set. The logits then learn what is left to learn: with `tau = 1` their
            largest is the best guess where all classes count alike. To be left out where the logits are used.
        focal_gamma (`float`, *optional*, defaults to 0.0): lets texts count less that are classified well.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"` over the texts, weighted by `v[y]` as in torch,
            or `"sum"`.

    Returns:
        `torch.Tensor` of shape `()`.

    Papers: [Long-tail learning via logit adjustment](https://huggingface.co/papers/2007.07314),
    [Focal Loss for Dense Object Detection](https://huggingface.co/papers/1708.02002).

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl.losses.cross_entropy import cross_entropy

    >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> round(cross_entropy(logits, labels).item(), 4)
    0.41
    >>> round(cross_entropy(logits, labels, focal_gamma=2.0).item(), 4)
    0.0875
    >>> priors = torch.tensor([0.9, 0.1])
    >>> round(cross_entropy(logits, labels, logit_adjustment=priors.log()).item(), 4)
    1.1588
    ```
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    weights = None if class_weights is None else class_weights.to(logits)
    if logit_adjustment is not None:
        logits = logits + logit_adjustment.to(logits)
    if not focal_gamma:
        return functional.cross_entropy(
            logits, labels, weight=weights, label_smoothing=label_smoothing, reduction=reduction
        )
    log_p = logits.log_softmax(dim=1)
    # log(1 - p[y]) from the other classes: 1 - p[y] itself rounds to 0, where a power below 1 has no gradient.
    log_rest = log_p.scatter(1, labels.unsqueeze(1), -torch.inf).logsumexp(dim=1)
    losses = functional.nll_loss(log_p, labels, weight=weights, reduction="none") * (focal_gamma * log_rest).exp()
    total = 1
    if reduction == "mean":
        total = len(labels) if weights is None else weights[labels].sum()
    return losses.sum() / total
