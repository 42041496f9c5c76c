"""The two contrastive losses as modules, for training loops of one's own."""

from torch import Tensor, nn

from .functional import label_aware_contrastive_loss, supervised_contrastive_loss


class SupConLoss(nn.Module):
    """
    Supervised contrastive loss as a module; see [`supervised_contrastive_loss`] for formula and errors.

    Args:
        temperature (`float`, *optional*, defaults to 0.3): divides the similarities.
        normalize (`bool`, *optional*, defaults to `True`): whether embeddings are L2-normalised first.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"`, `"sum"` or `"none"`.
        temperature_scaling (`str`, *optional*, defaults to `"none"`): `"none"`, or `"positives"` for
            `temperature * |P(i)|`.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl import SupConLoss

    >>> loss = SupConLoss(temperature=0.1)(torch.randn(8, 16), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]))
    >>> loss.shape
    torch.Size([])
    ```
    """

    def __init__(
        self,
        temperature: float = 0.3,
        normalize: bool = True,
        reduction: str = "mean",
        temperature_scaling: str = "none",
    ):
        super().__init__()
        self.temperature = temperature
        self.normalize = normalize
        self.reduction = reduction
        self.temperature_scaling = temperature_scaling

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        candidate_embeddings: Tensor | None = None,
        candidate_labels: Tensor | None = None,
        anchor_positions: Tensor | None = None,
    ) -> Tensor:
        """Embeddings `(batch, hidden)`, labels `(batch,)` and, if there are any, candidates to the loss."""
        return supervised_contrastive_loss(
            embeddings,
            labels,
            temperature=self.temperature,
            normalize=self.normalize,
            reduction=self.reduction,
            temperature_scaling=self.temperature_scaling,
            candidate_embeddings=candidate_embeddings,
            candidate_labels=candidate_labels,
            anchor_positions=anchor_positions,
        )


class LCLLoss(nn.Module):
    """
    Label-aware contrastive loss as a module; see [`label_aware_contrastive_loss`] for formula and errors.

    Args:
        temperature (`float`, *optional*, defaults to 0.3): divides the similarities.
        normalize (`bool`, *optional*, defaults to `True`): whether embeddings are L2-normalised first.
        detach_weights (`bool`, *optional*, defaults to `False`): whether to keep this loss's gradient from the
            weighting network.
        reduction (`str`, *optional*, defaults to `"mean"`): `"mean"`, `"sum"` or `"none"`.
        weight_placement (`str`, *optional*, defaults to `"outside"`): whether the weight of the anchor's own class
            stands `"outside"` or `"inside"` the logarithm.
        temperature_scaling (`str`, *optional*, defaults to `"none"`): `"none"`, or `"positives"` for
            `temperature * |P(i)|`.

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
        temperature: float = 0.3,
        normalize: bool = True,
        detach_weights: bool = False,
        reduction: str = "mean",
        weight_placement: str = "outside",
        temperature_scaling: str = "none",
    ):
        super().__init__()
        self.temperature = temperature
        self.normalize = normalize
        self.detach_weights = detach_weights
        self.reduction = reduction
        self.weight_placement = weight_placement
        self.temperature_scaling = temperature_scaling

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        weighting_logits: Tensor,
        *,
        candidate_embeddings: Tensor | None = None,
        candidate_labels: Tensor | None = None,
        anchor_positions: Tensor | None = None,
    ) -> Tensor:
        """
        Embeddings `(batch, hidden)`, labels `(batch,)`, weighting logits `(batch, num_labels)` and, if there are any,
        candidates to the loss.
        """
        return label_aware_contrastive_loss(
            embeddings,
            labels,
            weighting_logits,
            temperature=self.temperature,
            normalize=self.normalize,
            detach_weights=self.detach_weights,
            reduction=self.reduction,
            weight_placement=self.weight_placement,
            temperature_scaling=self.temperature_scaling,
            candidate_embeddings=candidate_embeddings,
            candidate_labels=candidate_labels,
            anchor_positions=anchor_positions,
        )
