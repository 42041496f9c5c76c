"""Implementations of contrastive losses, ours and others', and the matrix products that each of them computes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


TEMPERATURE = 0.3


@dataclass
class Batch:
    """Random embeddings, labels and weighting logits."""

    embeddings: Tensor
    labels: Tensor
    weighting_logits: Tensor

    @classmethod
    def random(
        cls, size: int, hidden_size: int, num_labels: int, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "Batch":
        generator = torch.Generator().manual_seed(0)
        embeddings = torch.randn(size, hidden_size, generator=generator).to(device, dtype)
        labels = torch.randint(num_labels, (size,), generator=generator).to(device)
        logits = torch.randn(size, num_labels, generator=generator).to(device, dtype)
        return cls(embeddings.requires_grad_(), labels, logits.requires_grad_())


def three_products(batch: Batch) -> None:
    """Products for the similarities of all pairs, the gradient of the anchors and that of the candidates."""
    embeddings = batch.embeddings.detach()
    pairs = embeddings @ embeddings.T
    pairs @ embeddings
    pairs.T @ embeddings


def ours_label_aware(batch: Batch) -> Tensor:
    return label_aware_contrastive_loss(
        batch.embeddings, batch.labels, batch.weighting_logits, temperature=TEMPERATURE
    )


def ours_supervised(batch: Batch) -> Tensor:
    return supervised_contrastive_loss(batch.embeddings, batch.labels, temperature=TEMPERATURE)


def direct_form(batch: Batch) -> Tensor:
    """A direct implementation of the label-aware loss: a matrix of all pairs, and autograd."""
    embeddings, labels = F.normalize(batch.embeddings.float(), dim=1), batch.labels
    log_weights = batch.weighting_logits.float().log_softmax(dim=1)
    similarities = embeddings @ embeddings.T / TEMPERATURE
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positives = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    count = positives.sum(dim=1)
    logits = (similarities + log_weights[:, labels]).masked_fill(itself, -torch.inf)
    mean_positive = torch.where(positives, similarities, 0).sum(dim=1) / count.clamp(min=1)
    own_weight = log_weights.gather(1, labels.unsqueeze(1)).squeeze(1).exp()
    losses = torch.where(count > 0, own_weight * (logits.logsumexp(dim=1) - mean_positive), 0)
    return losses.sum() / (count > 0).sum()


def double_loop(batch: Batch) -> Tensor:
    """The label-aware loss as its authors implement it: Python loops over all pairs."""
    embeddings, labels = F.normalize(batch.embeddings.float(), dim=1), batch.labels.tolist()
    weights = batch.weighting_logits.float().softmax(dim=1)
    losses = []
    for i, label in enumerate(labels):
        denominator, positives = 0.0, []
        for k, other in enumerate(labels):
            if k != i:
                pair = (embeddings[i] @ embeddings[k] / TEMPERATURE).exp()
                denominator = denominator + weights[i, other] * pair
                if other == label:
                    positives.append(pair)
        if positives:
            losses.append(-weights[i, label] * sum((p / denominator).log() for p in positives) / len(positives))
    return torch.stack(losses).mean()


def metric_learning(batch: Batch) -> Tensor:
    from pytorch_metric_learning.losses import SupConLoss

    return SupConLoss(temperature=TEMPERATURE)(batch.embeddings, batch.labels)


def sentence_transformers(name: str, batch: Batch) -> Tensor:
    from sentence_transformers.sentence_transformer import losses

    return getattr(losses, name)(model=None).compute_loss_from_embeddings([batch.embeddings], batch.labels)


@dataclass(frozen=True)
class Contender:
    """
    A loss, or the matrix products that losses are compared with.

    Args:
        function (`Callable[[Batch], torch.Tensor]`): computes the loss.
        memory_growth (`int`): exponent of the growth of its memory with the batch size.
        package (`str`, *optional*): package that it needs.
    """

    function: Callable[[Batch], Tensor | None]
    memory_growth: int = 2
    package: str | None = None


PRODUCTS, OURS, DIRECT = "bare products", "`LCLLoss`", "LCL, direct form"
CONTENDERS = {
    PRODUCTS: Contender(three_products),
    OURS: Contender(ours_label_aware, memory_growth=1),
    "`SupConLoss`": Contender(ours_supervised, memory_growth=1),
    DIRECT: Contender(direct_form),
    "LCL, Python loops": Contender(double_loop),
    "pytorch-metric-learning `SupConLoss`": Contender(metric_learning, package="pytorch_metric_learning"),
    **{
        f"sentence-transformers `{name}`": Contender(
            partial(sentence_transformers, name), memory_growth=growth, package="sentence_transformers"
        )
        for name, growth in (
            ("BatchHardTripletLoss", 2),
            ("BatchHardSoftMarginTripletLoss", 2),
            ("BatchSemiHardTripletLoss", 2),
            ("BatchAllTripletLoss", 3),
        )
    },
}
