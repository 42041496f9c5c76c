"""What training minimises: cross-entropy and a contrastive loss, joined; and the parts it is made of."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from .functional import label_aware_contrastive_loss, supervised_contrastive_loss


OBJECTIVES = ("ce", "scl", "lcl")


@dataclass
class Part:
    """
    One number that training reports.

    Args:
        value (`torch.Tensor` of shape `()`): detached.
        weight (`torch.Tensor` or `float`, *optional*, defaults to 1.0): how much this batch counts in a mean over
            batches; 0 where the batch has no such value.
    """

    value: Tensor
    weight: Tensor | float = 1.0


@dataclass(frozen=True)
class Objective:
    """
    `L = alpha * (L_e + L_w) + (1 - alpha) * L_contrastive`

    `L_e` is the cross-entropy of the classifier, `L_w` that of the weighting network, and `L_contrastive` the
    label-aware (`"lcl"`) or the supervised (`"scl"`, without `L_w`) contrastive loss. `"ce"` is `L_e` alone.
    Where the weighting network is the classifier itself, `L_w` would count `L_e` twice and is left out.

    Args:
        name (`str`): `"ce"`, `"scl"` or `"lcl"`.
        alpha (`float`, *optional*, defaults to 0.5): share of cross-entropy, in [0, 1].
        temperature (`float`, *optional*, defaults to 0.3): of the contrastive loss.
        normalize (`bool`, *optional*, defaults to `True`): whether the contrastive loss L2-normalises embeddings.
        detach_weights (`bool`, *optional*, defaults to `False`): see [`label_aware_contrastive_loss`].
        weighting_is_trained (`bool`, *optional*, defaults to `True`): whether the weighting logits come from
            parameters of their own, so that there is an `L_w`.
        class_weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): of both cross-entropies.
        label_smoothing (`float`, *optional*, defaults to 0.0): of both cross-entropies.

    Paper: [Not All Negatives are Equal](https://huggingface.co/papers/2109.05427).
    """

    name: str
    alpha: float = 0.5
    temperature: float = 0.3
    normalize: bool = True
    detach_weights: bool = False
    weighting_is_trained: bool = True
    class_weights: Tensor | None = None
    label_smoothing: float = 0.0

    def __call__(
        self, logits: Tensor, embeddings: Tensor, weighting_logits: Tensor | None, labels: Tensor
    ) -> tuple[Tensor, dict[str, Part]]:
        """
        The loss of one batch and its parts.

        Args:
            logits (`torch.Tensor` of shape `(batch, num_labels)`): the classifier's.
            embeddings (`torch.Tensor` of shape `(batch, hidden)`): not normalised.
            weighting_logits (`torch.Tensor` of shape `(batch, num_labels)`, *optional*): needed by `"lcl"`.
            labels (`torch.LongTensor` of shape `(batch,)`): classes.

        Returns:
            `tuple[torch.Tensor, dict[str, Part]]`: a scalar with a gradient, and the parts, detached.
        """
        loss_ce = self._cross_entropy(logits, labels)
        parts = {"loss_ce": Part(loss_ce.detach())}
        if self.name == "ce":
            return loss_ce, parts

        if self.name == "scl":
            loss_contrastive = supervised_contrastive_loss(
                embeddings, labels, temperature=self.temperature, normalize=self.normalize
            )
        else:
            loss_contrastive = label_aware_contrastive_loss(
                embeddings,
                labels,
                weighting_logits,
                temperature=self.temperature,
                normalize=self.normalize,
                detach_weights=self.detach_weights,
            )
        loss_classification = loss_ce
        if self.name == "lcl" and self.weighting_is_trained:
            loss_weighting = self._cross_entropy(weighting_logits, labels)
            parts["loss_weighting"] = Part(loss_weighting.detach())
            loss_classification = loss_ce + loss_weighting
        parts["loss_contrastive"] = Part(loss_contrastive.detach())
        parts |= batch_statistics(embeddings.detach(), labels, logits.shape[1])
        return self.alpha * loss_classification + (1 - self.alpha) * loss_contrastive, parts

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        return functional.cross_entropy(logits.float(), labels, weight=weights, label_smoothing=self.label_smoothing)


def batch_statistics(embeddings: Tensor, labels: Tensor, num_labels: int) -> dict[str, Part]:
    """
    How much a batch can teach, and how far its classes are apart already.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): not normalised.
        labels (`torch.LongTensor` of shape `(batch,)`): classes.
        num_labels (`int`): number of classes.

    Returns:
        `dict[str, Part]`: `valid_anchors` (share of the texts that have a positive), `positive_similarity` and
        `negative_similarity` (mean cosine over the pairs of equal and of different class). All from sums of
        embeddings per class: no similarity matrix is built, and nothing waits for the device.
    """
    unit = functional.normalize(embeddings.float(), dim=1)
    class_sums = unit.new_zeros(num_labels, unit.shape[1]).index_add_(0, labels, unit)
    class_sizes = unit.new_zeros(num_labels).index_add_(0, labels, unit.new_ones(len(labels)))
    within_classes = class_sums.square().sum()
    positive_pairs = class_sizes.square().sum() - len(labels)
    negative_pairs = len(labels) ** 2 - class_sizes.square().sum()
    positive_sum = within_classes - unit.square().sum()
    negative_sum = class_sums.sum(dim=0).square().sum() - within_classes
    return {
        "valid_anchors": Part((class_sizes[labels] > 1).float().mean()),
        "positive_similarity": Part(positive_sum / positive_pairs.clamp(min=1), weight=(positive_pairs > 0).float()),
        "negative_similarity": Part(negative_sum / negative_pairs.clamp(min=1), weight=(negative_pairs > 0).float()),
    }
