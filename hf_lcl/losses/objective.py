"""What training minimises: cross-entropy and a contrastive loss, joined; and the parts it is made of."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from .candidates import Candidates
from .cross_entropy import check_focal, cross_entropy
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

    What a batch holds several views of is a text each time for the contrastive loss, but one text for `L_e` and `L_w`,
    which look at its first view alone; `ce_on_views=True` makes them look at all.

    Args:
        name (`str`): `"ce"`, `"scl"` or `"lcl"`.
        alpha (`float`, *optional*, defaults to 0.5): share of cross-entropy, in [0, 1].
        temperature (`float`, *optional*, defaults to 0.3): of the contrastive loss.
        normalize (`bool`, *optional*, defaults to `True`): whether the contrastive loss L2-normalises embeddings.
        detach_weights (`bool`, *optional*, defaults to `False`): see [`label_aware_contrastive_loss`].
        weight_placement (`str`, *optional*, defaults to `"outside"`): likewise.
        temperature_scaling (`str`, *optional*, defaults to `"none"`): see [`supervised_contrastive_loss`].
        weighting_is_trained (`bool`, *optional*, defaults to `True`): whether the weighting logits come from
            parameters of their own, so that there is an `L_w`.
        class_weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): of both cross-entropies.
        label_smoothing (`float`, *optional*, defaults to 0.0): of both cross-entropies.
        logit_adjustment (`torch.Tensor` of shape `(num_labels,)`, *optional*): of both, see
            [`losses.cross_entropy.cross_entropy`]. For training: an evaluation leaves it out.
        focal_gamma (`float`, *optional*, defaults to 0.0): of both; 0 is plain cross-entropy.
        ce_on_views (`bool`, *optional*, defaults to `False`): whether both count each view instead of each text once.

    Raises:
        ValueError: for a negative `focal_gamma`, or one together with `label_smoothing`.

    Paper: [Not All Negatives are Equal](https://huggingface.co/papers/2109.05427).
    """

    name: str
    alpha: float = 0.5
    temperature: float = 0.3
    normalize: bool = True
    detach_weights: bool = False
    weight_placement: str = "outside"
    temperature_scaling: str = "none"
    weighting_is_trained: bool = True
    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    logit_adjustment: Tensor | None = None
    focal_gamma: float = 0.0
    ce_on_views: bool = False

    def __post_init__(self):
        check_focal(self.focal_gamma, self.label_smoothing)

    def __call__(
        self,
        logits: Tensor,
        embeddings: Tensor,
        weighting_logits: Tensor | None,
        labels: Tensor,
        candidates: Candidates | None = None,
        views: int = 1,
    ) -> tuple[Tensor, dict[str, Part]]:
        """
        The loss of one batch and its parts.

        Args:
            logits (`torch.Tensor` of shape `(batch, num_labels)`): the classifier's.
            embeddings (`torch.Tensor` of shape `(batch, hidden)`): not normalised.
            weighting_logits (`torch.Tensor` of shape `(batch, num_labels)`, *optional*): needed by `"lcl"`.
            labels (`torch.LongTensor` of shape `(batch,)`): classes.
            candidates ([`Candidates`], *optional*): whom the batch is compared with; itself when left out.
            views (`int`, *optional*, defaults to 1): rows of each text in `batch`: all first views stand first.

        Returns:
            `tuple[torch.Tensor, dict[str, Part]]`: a scalar with a gradient, and the parts, detached. Of a batch that
            is divided among processes, the mean of their scalars is the loss of the whole.
        """
        loss_ce = self._cross_entropy(logits, labels, candidates, views)
        parts = {"loss_ce": Part(loss_ce.detach())}
        if self.name == "ce":
            return loss_ce, parts

        num_labels = logits.shape[1]
        loss_contrastive = self._contrastive(embeddings, labels, weighting_logits, candidates, num_labels)
        loss_classification = loss_ce
        if self.name == "lcl" and self.weighting_is_trained:
            loss_weighting = self._cross_entropy(weighting_logits, labels, candidates, views)
            parts["loss_weighting"] = Part(loss_weighting.detach())
            loss_classification = loss_ce + loss_weighting
        parts["loss_contrastive"] = Part(loss_contrastive.detach())
        parts |= batch_statistics(embeddings.detach(), labels, num_labels, candidates)
        return self.alpha * loss_classification + (1 - self.alpha) * loss_contrastive, parts

    def _contrastive(
        self,
        embeddings: Tensor,
        labels: Tensor,
        weighting_logits: Tensor | None,
        candidates: Candidates | None,
        num_labels: int,
    ) -> Tensor:
        arguments = {
            "temperature": self.temperature,
            "normalize": self.normalize,
            "temperature_scaling": self.temperature_scaling,
        }
        if candidates is not None:
            arguments |= {
                "candidate_embeddings": candidates.embeddings,
                "candidate_labels": candidates.labels,
                "anchor_positions": candidates.anchor_positions,
                "reduction": "sum",
            }
        if self.name == "scl":
            loss = supervised_contrastive_loss(embeddings, labels, **arguments)
        else:
            arguments |= {"detach_weights": self.detach_weights, "weight_placement": self.weight_placement}
            loss = label_aware_contrastive_loss(embeddings, labels, weighting_logits, **arguments)
        if candidates is None:
            return loss
        valid = (_class_sizes(candidates.labels, num_labels)[candidates.batch_labels] > 1).sum()
        return loss * candidates.processes / valid.clamp(min=1)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, candidates: Candidates | None, views: int) -> Tensor:
        views = 1 if self.ce_on_views else views
        texts = len(labels) // views
        loss = partial(
            cross_entropy,
            logits[:texts],
            labels[:texts],
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
            logit_adjustment=self.logit_adjustment,
            focal_gamma=self.focal_gamma,
        )
        if candidates is None:
            return loss()
        total = candidates.batch_size
        if self.class_weights is not None:
            total = self.class_weights.to(labels.device)[candidates.batch_labels].sum()
        # Each view of a text weighs the same, so that a text has its share of the total in one of them.
        return loss(reduction="sum") * candidates.processes * views / total


def batch_statistics(
    embeddings: Tensor, labels: Tensor, num_labels: int, candidates: Candidates | None = None
) -> dict[str, Part]:
    """
    How much a batch can teach, and how far its classes are apart already.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): not normalised.
        labels (`torch.LongTensor` of shape `(batch,)`): classes.
        num_labels (`int`): number of classes.
        candidates ([`Candidates`], *optional*): whom the batch is compared with; itself when left out.

    Returns:
        `dict[str, Part]`: `valid_anchors` (share of the texts that have a positive), `positives_per_anchor` and
        `candidates_per_anchor` (mean numbers, the anchor itself not counted), `positive_similarity` and
        `negative_similarity` (mean cosine over the pairs of equal and of different class). All from sums of
        embeddings per class: no similarity matrix is built, and nothing waits for the device.
    """
    unit = functional.normalize(embeddings.float(), dim=1)
    others, other_labels = unit, labels
    if candidates is not None:
        others = functional.normalize(candidates.embeddings.detach().float(), dim=1)
        other_labels = candidates.labels
    class_sums = unit.new_zeros(num_labels, unit.shape[1]).index_add_(0, other_labels, others)
    class_sizes = _class_sizes(other_labels, num_labels)
    # An anchor is always among its candidates, and none of its own positives.
    positives = class_sizes[labels] - 1
    negatives = len(others) - class_sizes[labels]
    similarity_to_class = (unit * class_sums[labels]).sum(dim=1)
    positive_sum = (similarity_to_class - unit.square().sum(dim=1)).sum()
    negative_sum = (unit @ class_sums.sum(dim=0) - similarity_to_class).sum()
    pairs = {"positive": (positive_sum, positives.sum()), "negative": (negative_sum, negatives.sum())}
    return {
        "valid_anchors": Part((positives > 0).float().mean(), weight=len(labels)),
        "positives_per_anchor": Part(positives.mean(), weight=len(labels)),
        "candidates_per_anchor": Part(unit.new_tensor(len(others) - 1), weight=len(labels)),
        **{
            f"{kind}_similarity": Part(total / count.clamp(min=1), weight=count)
            for kind, (total, count) in pairs.items()
        },
    }


def _class_sizes(labels: Tensor, num_labels: int) -> Tensor:
    """Number of texts of each class `(num_labels,)`, in fp32; `bincount` would wait for the device."""
    ones = torch.ones(len(labels), device=labels.device)
    return torch.zeros(num_labels, device=labels.device).index_add_(0, labels, ones)
