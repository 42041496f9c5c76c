"""The training objective: a weighted sum of cross-entropy and a contrastive loss, and its parts for logging."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .blockwise import block_height
from .cross_entropy import cross_entropy
from .functional import contrastive_loss


OBJECTIVES = ("ce", "scl", "lcl")
# Of the cosines of texts and class names. At 0.3, a classifier of EmoInt is as accurate, but its likelihood is worse
# (examples/results/default_trials.md).
NAMES_TEMPERATURE = 0.1


class Part(NamedTuple):
    """
    A number to log: a detached scalar, and of how many texts or pairs it is the mean. `None` for a loss, since those
    of training batches count alike.
    """

    value: Tensor
    weight: Tensor | float | None = None


@dataclass(frozen=True)
class Candidates:
    """The texts that the anchors of one process are compared with: the batch of all processes, then any others."""

    embeddings: Tensor  # (candidates, hidden), not normalised; those of the batch are in the autograd graph
    labels: Tensor  # (candidates,): classes; or indicator rows
    anchor_positions: Tensor  # (batch,): index of each anchor among them
    batch_size: int  # number of rows in the batch of all processes; these come first
    # Number of processes that share the batch. Since gradients are averaged over them, the loss of each is `processes`
    # times its share of the whole batch's loss.
    processes: int = 1
    is_name: Tensor | None = None  # (batch_size,): which rows of the batch of all processes are names of classes

    @property
    def batch_labels(self) -> Tensor:
        """Classes of the batch of all processes."""
        return self.labels[: self.batch_size]


@dataclass(frozen=True)
class Objective:
    """
    `L = alpha * (L_e + L_w) + (1 - alpha) * L_contrastive`

    `L_e` is the cross-entropy of the classifier, `L_w` that of the weighting network, and `L_contrastive` the
    label-aware (`"lcl"`) or the supervised (`"scl"`, without `L_w`) contrastive loss. `"ce"` is `L_e` alone.
    Where the classifier is the weighting network, `L_w` equals `L_e` and is left out.

    With several labels per text, where labels are indicator rows `(batch, num_labels)`, `L_e` and `L_w` are binary
    cross-entropies.

    With several views of a text, the contrastive loss uses all of them, `L_e` and `L_w` only the first.

    Where a batch holds the names of its classes, they are further texts of it, and [`cross_entropy_of_names`] is added
    to `L_contrastive`, which for `"lcl"` is small with many classes: at first a share of `1/num_labels` of the
    supervised loss.

    Args:
        name (`str`): `"ce"`, `"scl"` or `"lcl"`.
        alpha (`float`, *optional*, defaults to 0.5): share of cross-entropy, in [0, 1].
        temperature (`float` or `torch.Tensor`, *optional*, defaults to 0.3): of the contrastive loss.
        normalize (`bool`, *optional*, defaults to `True`): whether the contrastive loss L2-normalises embeddings.
        detach_weights (`bool`, *optional*, defaults to `False`): see [`label_aware_contrastive_loss`].
        weighting_is_trained (`bool`, *optional*, defaults to `True`): whether the weighting network has its own
            parameters, so that there is an `L_w`.
        class_weights (`torch.Tensor` of shape `(num_labels,)`, *optional*): of both cross-entropies; with several
            labels per text, the weights of the texts that have each label (`pos_weight` of torch).
        label_smoothing (`float`, *optional*, defaults to 0.0): of both cross-entropies.

    Paper: [Not All Negatives are Equal](https://huggingface.co/papers/2109.05427).
    """

    name: str
    alpha: float = 0.5
    temperature: float | Tensor = 0.3
    normalize: bool = True
    detach_weights: bool = False
    weighting_is_trained: bool = True
    class_weights: Tensor | None = None
    label_smoothing: float = 0.0

    def __call__(
        self,
        logits: Tensor,
        embeddings: Tensor,
        weighting_logits: Tensor | None,
        labels: Tensor,
        candidates: Candidates | None = None,
        views: int = 1,
        is_name: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Part]]:
        """
        The loss of one batch and its parts. Inputs are not checked, so that nothing waits for the device.

        Args:
            logits (`torch.Tensor` of shape `(batch, num_labels)`): the classifier's.
            embeddings (`torch.Tensor` of shape `(batch, hidden)`): not normalised.
            weighting_logits (`torch.Tensor` of shape `(batch, num_labels)`, *optional*): needed by `"lcl"`.
            labels (`torch.LongTensor` of shape `(batch,)`): classes; or indicator rows `(batch, num_labels)`.
            candidates ([`Candidates`], *optional*): defaults to the batch.
            views (`int`, *optional*, defaults to 1): number of rows per text in `batch`; all first views come first.
            is_name (`torch.BoolTensor` of shape `(batch,)`, *optional*): which rows are names of classes.

        Returns:
            `tuple[torch.Tensor, dict[str, Part]]`: the loss, a scalar with a gradient, and its detached parts. For a
            batch that is divided among processes, the mean of their losses is the loss of the whole batch.
        """
        loss_ce = self._cross_entropy(logits, labels, candidates, views)
        parts = {"loss_ce": Part(loss_ce.detach())}
        if self.name == "ce":
            return loss_ce, parts
        num_labels = logits.shape[1]
        loss_contrastive = self._contrastive(embeddings, labels, weighting_logits, candidates, num_labels)
        loss_classification = loss_ce
        if self.name == "lcl" and self.weighting_is_trained and weighting_logits is not None:
            loss_weighting = self._cross_entropy(weighting_logits, labels, candidates, views)
            parts["loss_weighting"] = Part(loss_weighting.detach())
            loss_classification = loss_ce + loss_weighting
        parts["loss_contrastive"] = Part(loss_contrastive.detach())
        if is_name is not None:
            loss_names = cross_entropy_of_names(embeddings, labels, is_name, num_labels, candidates)
            parts["loss_names"] = Part(loss_names.detach())
            loss_contrastive = loss_contrastive + loss_names
        parts |= batch_statistics(embeddings.detach(), labels, num_labels, candidates)
        return self.alpha * loss_classification + (1 - self.alpha) * loss_contrastive, parts

    def contrastive_loss(
        self, embeddings: Tensor, labels: Tensor, weighting_logits: Tensor | None, **options: Any
    ) -> Tensor:
        """The contrastive loss with `reduction` and candidates as in [`supervised_contrastive_loss`]."""
        if self.name == "scl":
            weighting_logits = None
        elif weighting_logits is None:
            raise ValueError('objective="lcl" needs weighting logits: a model with weighting="none" has none.')
        elif self.detach_weights:
            weighting_logits = weighting_logits.detach()
        options = {"temperature": self.temperature, "normalize": self.normalize} | options
        return contrastive_loss(embeddings, labels, weighting_logits, **options)

    def _contrastive(
        self,
        embeddings: Tensor,
        labels: Tensor,
        weighting_logits: Tensor | None,
        candidates: Candidates | None,
        num_labels: int,
    ) -> Tensor:
        if candidates is None:
            if not len(labels):
                return embeddings.float().sum()  # 0, with a gradient
            return self.contrastive_loss(embeddings, labels, weighting_logits, reduction="mean")
        loss = self.contrastive_loss(
            embeddings,
            labels,
            weighting_logits,
            candidate_embeddings=candidates.embeddings,
            candidate_labels=candidates.labels,
            anchor_positions=candidates.anchor_positions,
            reduction="sum",
        )
        sizes = _class_sizes(candidates.labels, num_labels)
        if labels.dim() == 2:
            valid = (candidates.batch_labels.to(sizes) @ (sizes > 1).to(sizes) > 0).sum()
        else:
            valid = (sizes[candidates.batch_labels] > 1).sum()
        return loss * candidates.processes / valid.clamp(min=1)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, candidates: Candidates | None, views: int) -> Tensor:
        total: Tensor | float | None = None
        if candidates is not None:
            total = candidates.batch_size
            if self.class_weights is not None and labels.dim() == 1:
                exact = torch.promote_types(logits.dtype, torch.float32)
                total = self.class_weights.to(labels.device, exact)[candidates.batch_labels].sum()
            # `batch_size` counts all views of a text, but only the first enters the cross-entropy.
            total = total / (candidates.processes * views)
        first_views = slice(len(labels) // views)
        return cross_entropy(
            logits[first_views],
            labels[first_views],
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
            total=total,
        )


def cross_entropy_of_names(
    embeddings: Tensor, labels: Tensor, is_name: Tensor, num_labels: int, candidates: Candidates | None = None
) -> Tensor:
    """
    The cross-entropy of the texts of a batch over their cosines with the names of its classes, divided by
    `NAMES_TEMPERATURE`: their supervised contrastive loss with the names as the only candidates. Texts of a class
    without a name there are left out. Nothing waits for the device.

    Args:
        embeddings (`torch.Tensor` of shape `(batch, hidden)`): of texts and names, not normalised.
        labels (`torch.LongTensor` of shape `(batch,)`): their classes.
        is_name (`torch.BoolTensor` of shape `(batch,)`): which rows are names.
        num_labels (`int`): number of classes.
        candidates ([`Candidates`], *optional*): of several processes, which share their names.

    Paper: [Label Anchored Contrastive Learning for Language Understanding](https://huggingface.co/papers/2205.10227).
    """
    rows, row_labels, marks, processes = embeddings, labels, is_name, 1
    if candidates is not None and candidates.is_name is not None:
        rows, row_labels = candidates.embeddings[: candidates.batch_size], candidates.batch_labels
        marks, processes = candidates.is_name, candidates.processes
    exact = torch.promote_types(embeddings.dtype, torch.float32)
    of_names = functional.normalize(rows.to(exact), dim=1) * marks.to(exact).unsqueeze(1)
    # The views of a name, and its rows in several processes, have one sum.
    names = of_names.new_zeros(num_labels, of_names.shape[1]).index_add(0, row_labels, of_names)
    has_name = of_names.new_zeros(num_labels).index_add(0, row_labels, marks.to(exact)) > 0
    cosines = functional.normalize(embeddings.to(exact), dim=1) @ functional.normalize(names, dim=1).T
    logits = (cosines / NAMES_TEMPERATURE).masked_fill(~has_name, torch.finfo(exact).min)
    counts = has_name[labels] & ~is_name
    losses = functional.cross_entropy(logits, labels, reduction="none").where(counts, 0)
    total = (has_name[row_labels] & ~marks).sum()
    return losses.sum() * processes / total.clamp(min=1)


def batch_statistics(
    embeddings: Tensor, labels: Tensor, num_labels: int, candidates: Candidates | None = None
) -> dict[str, Part]:
    """
    The statistics of a batch that [`Objective`] reports besides its losses, from sums of embeddings per class: without
    a similarity matrix, and without waiting for the device.

    Returns:
        `dict[str, Part]`: `valid_anchors` (share of the texts that have a positive), `positives_per_anchor` and
        `candidates_per_anchor` (mean numbers, without the anchor itself), `positive_similarity` and
        `negative_similarity` (mean cosine over the pairs of the same class and of different classes). With several
        labels per text, these are the pairs with and without a common label, computed block by block.
    """
    unit = functional.normalize(embeddings.float(), dim=1)
    others, other_labels = unit, labels
    if candidates is not None:
        others = functional.normalize(candidates.embeddings.detach().float(), dim=1)
        other_labels = candidates.labels
    is_alike_itself: Tensor | float = 1.0
    if labels.dim() == 2:
        height, columns, found = block_height(unit, len(others)), other_labels.to(unit).T, []
        for anchors, rows in zip(unit.split(height), labels.to(unit).split(height)):
            alike = (rows @ columns > 0).to(unit)
            found.append((alike.sum(dim=1), (alike * (anchors @ others.T)).sum(dim=1)))
        sizes, similarity_to_class = (torch.cat(each) for each in zip(*found))
        is_alike_itself = (labels.sum(dim=1) > 0).to(unit)
    else:
        class_sums = unit.new_zeros(num_labels, unit.shape[1]).index_add_(0, other_labels, others)
        sizes = _class_sizes(other_labels, num_labels)[labels]
        similarity_to_class = (unit * class_sums[labels]).sum(dim=1)
    # An anchor is always among the candidates, but is not its own positive.
    itself = unit.square().sum(dim=1)
    positives = sizes - is_alike_itself
    negatives = len(others) - sizes - (1 - is_alike_itself)
    positive_sum = (similarity_to_class - is_alike_itself * itself).sum()
    negative_sum = (unit @ others.sum(dim=0) - similarity_to_class - (1 - is_alike_itself) * itself).sum()
    texts, num_positives, num_negatives = len(labels), positives.sum(), negatives.sum()
    return {
        "valid_anchors": Part((positives > 0).float().sum() / max(texts, 1), texts),
        "positives_per_anchor": Part(num_positives / max(texts, 1), texts),
        "candidates_per_anchor": Part(unit.new_full((), len(others) - 1), texts),
        "positive_similarity": Part(positive_sum / num_positives.clamp(min=1), num_positives),
        "negative_similarity": Part(negative_sum / num_negatives.clamp(min=1), num_negatives),
    }


def _class_sizes(labels: Tensor, num_labels: int) -> Tensor:
    """Number of texts of each class `(num_labels,)`, in fp32; `bincount` would wait for the device."""
    if labels.dim() == 2:
        return labels.sum(dim=0, dtype=torch.float32)
    ones = torch.ones(len(labels), device=labels.device)
    return torch.zeros(num_labels, device=labels.device).index_add_(0, labels, ones)
