"""Warns when training has collapsed: all embeddings are alike, and the classifier predicts a single class."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import TrainerCallback, TrainerState
from transformers.utils import logging

from ..training_args import ContrastiveTrainingArguments


logger = logging.get_logger(__name__)

WINDOW_STEPS = 50  # that are judged together
# Embeddings are alike below this mean cosine distance, if it has fallen to less than half of its first value: some
# encoders begin with embeddings that nearly share one direction.
ALIKE_DISTANCE = 0.05
SATURATED_LOGIT = 20  # dot product over the temperature beyond which a softmax has almost no gradient
MAX_ROWS_FOR_RANK = 256


@dataclass
class Health:
    """What a few steps of training look like."""

    accuracy: float  # of the classifier
    majority: float  # share of the most frequent class
    texts: int
    spread: float  # mean cosine distance of two texts of a batch; 0 where all are alike
    directions: float  # effective rank of the last embeddings: exp of the entropy of the variance over principal axes
    squared_length: float  # of an embedding, in the mean
    valid_anchors: float  # share of the texts with a positive in their batch

    @property
    def predicts_one_class(self) -> bool:
        """Whether the classifier is no better than one that always predicts the most frequent class."""
        noise = 2 * (self.majority * (1 - self.majority) / self.texts) ** 0.5
        return self.accuracy <= self.majority + noise


class CollapseMonitor(TrainerCallback):
    """
    Warns, once, when training with a contrastive objective has collapsed, with the likely cause and what helps. The
    usual cause are embeddings that are not normalised: their dot products saturate the softmax, and the loss falls
    fastest where all embeddings become alike.

    [`ContrastiveTrainer`] shows it every batch of a training with `"scl"` or `"lcl"`;
    `trainer.remove_callback(CollapseMonitor)` removes it.
    """

    def __init__(self) -> None:
        self.on_train_begin()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Forgets the training before."""
        self._has_warned = False
        self._first: Health | None = None
        self._begin_window()

    def _begin_window(self) -> None:
        self._batches: list[Tensor] = []
        self._labels: list[Tensor] = []

    def observe(self, embeddings: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Looks at a batch: `(batch, hidden)`, `(batch, num_labels)`, labels; nothing waits for the device."""
        if self._has_warned or len(labels) < 2:
            return
        embeddings, size = embeddings.detach().float(), len(labels)
        # The mean cosine over all pairs of two texts, from the sum of the embeddings.
        cosine = (functional.normalize(embeddings, dim=1).sum(dim=0).square().sum() - size) / (size * (size - 1))
        if labels.dim() == 2:  # of texts with several labels all must be right, and one shared
            is_right, alike = ((logits > 0) == (labels > 0)).all(dim=1), labels @ labels.T > 0
        else:
            is_right, alike = logits.argmax(dim=1) == labels, labels.unsqueeze(0) == labels.unsqueeze(1)
        has_positive = alike.sum(dim=1) > 1
        length = embeddings.square().sum(dim=1).mean()
        means = is_right.float().mean(), 1 - cosine, length, has_positive.float().mean()
        self._batches.append(torch.stack(means))
        self._labels.append(labels)
        self._last = embeddings[:MAX_ROWS_FOR_RANK]
        self._first = self._first or self.health()

    def health(self) -> Health:
        """What was observed since the last window ended."""
        accuracy, spread, length, valid = torch.stack(self._batches).mean(dim=0).tolist()
        labels = torch.cat(self._labels)
        variances = torch.linalg.svdvals(self._last - self._last.mean(dim=0)).square()
        return Health(
            accuracy=accuracy,
            majority=(labels.unique(dim=0, return_counts=True)[1].max() / len(labels)).item(),
            texts=len(labels),
            spread=spread,
            directions=torch.special.entr(variances / variances.sum().clamp(min=1e-30)).sum().exp().item(),
            squared_length=length,
            valid_anchors=valid,
        )

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Judges a window that ends here; `args` are the [`ContrastiveTrainingArguments`]."""
        if self._first is None or not self._batches or state.global_step % WINDOW_STEPS:
            return
        now = self.health()
        self._begin_window()
        if now.predicts_one_class and now.spread < min(ALIKE_DISTANCE, self._first.spread / 2):
            self._has_warned = True
            if state.is_world_process_zero:
                logger.warning(explain_collapse(self._first, now, args, state.global_step))


def explain_collapse(first: Health, now: Health, args: ContrastiveTrainingArguments, step: int) -> str:
    """What was measured at the beginning of a training and now, the likely cause, and what helps."""
    logit = first.squared_length / args.temperature
    if not args.normalize_embeddings and logit > SATURATED_LOGIT:
        cause = (
            f"dot products over the temperature began at {logit:.0f}, where the softmax is saturated. Use "
            "normalize_embeddings=True with a temperature of 0.1 to 0.5, or a temperature of "
            f"{first.squared_length / 3:.0f} or more."
        )
    elif now.valid_anchors < 0.5:
        cause = (
            f"{1 - now.valid_anchors:.0%} of the texts had no positive in their batch. Use sampler='balanced', a "
            "larger per_device_train_batch_size, or num_views=2."
        )
    else:
        cause = (
            f"steps that are too large. Lower learning_rate (now {args.learning_rate:g}), set warmup_steps=0.1, or "
            f"raise alpha (now {args.alpha:g}) for more cross-entropy."
        )
    return (
        f"Training has collapsed by step {step}: over the last {now.texts} texts the accuracy was {now.accuracy:.0%}, "
        f"no better than predicting the most frequent class ({now.majority:.0%}), and two texts have a mean cosine "
        f"distance of {now.spread:.3f} ({first.spread:.3f} at the beginning; {now.directions:.1f} directions). The "
        f"likely cause: {cause}"
    )
