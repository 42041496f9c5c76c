"""The two contrastive losses as modules, for custom training loops."""

from typing import Any

from torch import Tensor, nn

from .functional import label_aware_contrastive_loss, supervised_contrastive_loss


class SupConLoss(nn.Module):
    """
    [`supervised_contrastive_loss`] as a module: same formula, arguments and errors.

    Args:
        temperature (`float` or `torch.Tensor`, *optional*, defaults to 0.3): may be an `nn.Parameter`, to be learned.
        normalize (`bool`, *optional*, defaults to `True`): whether embeddings are L2-normalised first.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"`, `"sum"` or `"none"`.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl import SupConLoss

    >>> SupConLoss(temperature=0.1)(torch.randn(8, 16), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])).shape
    torch.Size([])
    ```
    """

    def __init__(self, temperature: float | Tensor = 0.3, normalize: bool = True, reduction: str = "mean"):
        super().__init__()
        self.temperature, self.normalize, self.reduction = temperature, normalize, reduction

    def forward(self, embeddings: Tensor, labels: Tensor, **candidates: Any) -> Tensor:
        """The loss of embeddings `(batch, hidden)` and labels `(batch,)`, with candidates if given."""
        return supervised_contrastive_loss(
            embeddings,
            labels,
            temperature=self.temperature,
            normalize=self.normalize,
            reduction=self.reduction,
            **candidates,
        )


class LCLLoss(nn.Module):
    """
    [`label_aware_contrastive_loss`] as a module: same formula, arguments and errors.

    Args:
        detach_weights (`bool`, *optional*, defaults to `False`): whether to detach the weights, so that this loss does
            not train the weighting network. All others are those of [`SupConLoss`].

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl import LCLLoss

    >>> labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    >>> LCLLoss()(torch.randn(8, 16), labels, torch.randn(8, 4)).shape
    torch.Size([])
    ```
    """

    def __init__(
        self,
        temperature: float | Tensor = 0.3,
        normalize: bool = True,
        detach_weights: bool = False,
        reduction: str = "mean",
    ):
        super().__init__()
        self.temperature, self.normalize, self.reduction = temperature, normalize, reduction
        self.detach_weights = detach_weights

    def forward(self, embeddings: Tensor, labels: Tensor, weighting_logits: Tensor, **candidates: Any) -> Tensor:
        """The loss of embeddings and labels as in [`SupConLoss`], with weighting logits `(batch, num_labels)`."""
        return label_aware_contrastive_loss(
            embeddings,
            labels,
            weighting_logits,
            temperature=self.temperature,
            normalize=self.normalize,
            detach_weights=self.detach_weights,
            reduction=self.reduction,
            **candidates,
        )
