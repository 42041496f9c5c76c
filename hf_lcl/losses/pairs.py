"""Pairs of an anchor and a candidate, and the positives among them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Inputs(NamedTuple):
    """The inputs of a pass over all pairs, in fp32 or float64."""

    anchors: Tensor  # (batch, hidden): the h_i
    candidates: Tensor | None  # (candidates, hidden): the h_k; None where they are the anchors
    log_weights: Tensor | None  # (batch, num_labels): log of w; None where all are 1


class Pairs(NamedTuple):
    """
    All pairs of an anchor and a candidate. With several labels per text, indicator rows replace the class ids.
    """

    # (batch,): class of each anchor, in [0, num_classes); arbitrary if no candidate has its class. With several
    # labels, (batch, num_classes), floating point: weight of each candidate of a class in the anchor's mean positive.
    classes: Tensor
    candidate_classes: Tensor  # (candidates,); with several labels, their indicator rows (candidates, num_classes)
    num_classes: int  # an upper bound of the number of classes
    self_column: Tensor | None  # (batch, 1): column of each anchor, no pair; None if anchors are no candidates
    positives: Tensor  # (batch,): number of positives of each anchor; with several labels, of its labels that have one

    def targets(self, dtype: torch.dtype) -> Tensor:
        """The weight of each candidate in each anchor's mean positive: `(batch, candidates)`; rows add up to 1."""
        if self.candidate_classes.dim() == 2:
            targets = self.classes @ self.candidate_classes.T
            return targets if self.self_column is None else targets.scatter_(1, self.self_column, 0)
        targets = (self.classes.unsqueeze(1) == self.candidate_classes).to(dtype)
        if self.self_column is not None:
            targets.scatter_(1, self.self_column, 0)
        return targets.div_(self.positives.clamp(min=1).unsqueeze(1))

    def mean_positive(self, candidates: Tensor) -> Tensor:
        """The mean positive of each anchor `(batch, hidden)`: `targets @ candidates`, computed from class sums."""
        sums, share = self._class_sums(candidates, self.candidate_classes), self._share()
        if self.candidate_classes.dim() == 2:
            means = self.classes @ sums
            return means if self.self_column is None else means.addcmul_(candidates[self.own], share, value=-1)
        means = sums[self.classes]
        return (means if self.self_column is None else means.sub_(candidates[self.own])).div_(share)

    def pull(self, gradient: Tensor, pulls: Tensor) -> None:
        """Subtracts `targets.T @ pulls` from the gradient of the candidates, by class sums; may overwrite `pulls`."""
        share = self._share()
        if self.candidate_classes.dim() == 2:
            gradient.sub_(self.candidate_classes @ (self.classes.T @ pulls))
            pulls.mul_(share)
        else:
            gradient.sub_(self._class_sums(pulls.div_(share), self.classes)[self.candidate_classes])
        if self.self_column is not None:
            gradient.index_add_(0, self.own, pulls)

    def log_weights(self, log_weights: Tensor, scale: float = 1.0, out: Tensor | None = None) -> Tensor:
        """
        `scale` times the log weight of each candidate for some anchors, `(anchors, candidates)`, from those of the
        classes `(anchors, num_classes)`. A text weighs the mean of its labels, or of all if it has none.
        """
        if self.candidate_classes.dim() == 1:
            return torch.index_select(log_weights * scale, 1, self.candidate_classes, out=out)
        return torch.mm(log_weights.exp(), self.label_rows().T, out=out).log_().mul_(scale)

    def by_class(self, gradient: Tensor, log_weights: Tensor, label_rows: Tensor) -> Tensor:
        """The gradient of the class `log_weights`, from that of the candidates' `(anchors, candidates)`."""
        if self.candidate_classes.dim() == 1:
            return gradient @ label_rows
        weights = log_weights.exp()
        shares = gradient / (weights @ label_rows.T).clamp_(min=torch.finfo(gradient.dtype).tiny)
        return weights.mul_(shares @ label_rows)

    def label_rows(self, dtype: torch.dtype | None = None) -> Tensor:
        """The share of each class in the weight of each candidate: `(candidates, num_classes)`; rows add up to 1."""
        classes = self.candidate_classes
        if classes.dim() == 2:
            return mean_rows(classes)
        one_hot = torch.zeros(len(classes), self.num_classes, dtype=dtype, device=classes.device)
        return one_hot.scatter_(1, classes.unsqueeze(1), 1)

    @property
    def own(self) -> Tensor:
        """The row of each anchor among the candidates."""
        assert self.self_column is not None
        return self.self_column.squeeze(1)

    def _share(self) -> Tensor:
        """The weight that each anchor would have in its own mean positive; with one label, the inverse of it."""
        if self.candidate_classes.dim() == 1:
            return self.positives.clamp(min=1).unsqueeze(1)
        return self.classes.sum(dim=1, keepdim=True)

    def _class_sums(self, vectors: Tensor, classes: Tensor) -> Tensor:
        """Sum of the vectors of each class: `(num_classes, hidden)`."""
        if classes.dim() == 2:
            return classes.T @ vectors
        return vectors.new_zeros(self.num_classes, vectors.shape[1]).index_add_(0, classes, vectors)


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def make_pairs(
    labels: Tensor, candidate_labels: Tensor, anchor_positions: Tensor | None, num_labels: int | None
) -> Pairs:
    """
    The pairs of anchors and candidates. Labels are class ids below `num_labels`, any integers if that is `None`, or
    indicator rows in the dtype of the embeddings.
    """
    self_column = None if anchor_positions is None else anchor_positions.unsqueeze(1)
    if labels.dim() == 2:
        others = (candidate_labels.sum(dim=0) - int(self_column is not None)).clamp(min=0)
        has_positive = labels * (others > 0)
        positives = has_positive.sum(dim=1, keepdim=True)
        # The mean positive of an anchor is a mean over its labels, and for each label a mean over its texts.
        shares = has_positive / others.clamp(min=1) / positives.clamp(min=1)
        return Pairs(shares, candidate_labels, labels.shape[1], self_column, positives.squeeze(1))
    ordered = candidate_labels.sort().values
    first, last = torch.searchsorted(ordered, labels), torch.searchsorted(ordered, labels, right=True)
    positives = last - first if anchor_positions is None else last - first - 1
    if num_labels is None:  # number a class by the place of its first candidate in sorted order
        num_labels = len(ordered)
        labels, candidate_labels = first.clamp_(max=num_labels - 1), torch.searchsorted(ordered, candidate_labels)
    return Pairs(labels, candidate_labels, num_labels, self_column, positives)


def mean_rows(labels: Tensor) -> Tensor:
    """Indicator rows, each divided by its number of labels; a row without labels is uniform over all classes."""
    counts = labels.sum(dim=1, keepdim=True)
    return torch.where(counts > 0, labels / counts.clamp(min=1), 1 / labels.shape[1])


def row_maximum(logits: Tensor) -> Tensor:
    """Maximum of each row `(batch, 1)`; 0 where all of it is masked (`-inf`), so that its exponentials are 0."""
    maximum = logits.amax(dim=1, keepdim=True)
    return maximum.masked_fill_(maximum == -torch.inf, 0)
