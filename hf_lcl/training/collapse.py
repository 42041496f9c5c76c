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

WINDOW_STEPS = 50  # between two checks
# Embeddings are alike if their mean cosine distance is below this value and below half of its initial value: the
# embeddings of some encoders share nearly one direction from the start.
ALIKE_DISTANCE = 0.05
SATURATED_LOGIT = 20  # dot product over the temperature beyond which a softmax has almost no gradient
MAX_ROWS_FOR_RANK = 256


@dataclass
class Health:
    """Statistics of a few training steps."""

    accuracy: float  # of the classifier
    majority: float  # share of the most frequent class
    texts: int
    spread: float  # mean cosine distance of two texts of a batch; 0 where all are alike
    directions: float  # effective rank of the last embeddings: exp of the entropy of the variance over principal axes
    squared_length: float  # mean over the embeddings
    valid_anchors: float  # share of the texts with a positive in their batch

    @property
    def predicts_one_class(self) -> bool:
        """Whether the classifier is no better than one that always predicts the most frequent class."""
        noise = 2 * (self.majority * (1 - self.majority) / self.texts) ** 0.5
        return self.accuracy <= self.majority + noise


class CollapseMonitor(TrainerCallback):
    """
    Warns, once, when training with a contrastive objective has collapsed, with the likely cause and what helps. The
    usual cause is embeddings that are not normalised: their dot products saturate the softmax, and the loss falls
    fastest if all embeddings become alike.

    [`ContrastiveTrainer`] passes it every batch of a training with `"scl"` or `"lcl"`;
    `trainer.remove_callback(CollapseMonitor)` removes it.
    """

    def __init__(self) -> None:
        self.on_train_begin()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Resets the statistics of an earlier training."""
        self._has_warned = False
        self._first: Health | None = None
        self._begin_window()

    def _begin_window(self) -> None:
        self._batches: list[Tensor] = []
        self._labels: list[Tensor] = []

    def observe(self, embeddings: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Records a batch: `(batch, hidden)`, `(batch, num_labels)`, labels. Only the first waits for the device."""
        if self._has_warned or len(labels) < 2 or (self._first is None and not embeddings.isfinite().all()):
            return
        embeddings, size = embeddings.detach().float(), len(labels)
        # The mean cosine over all pairs of two texts, from the sum of the embeddings.
        cosine = (functional.normalize(embeddings, dim=1).sum(dim=0).square().sum() - size) / (size * (size - 1))
        if labels.dim() == 2:  # several labels: all must be right, and a positive shares at least one
            labels = labels.float()
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
        """The statistics of the current window."""
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
        """Checks for collapse at the end of a window; `args` are the [`ContrastiveTrainingArguments`]."""
        if self._first is None or not self._batches or state.global_step % WINDOW_STEPS:
            return
        now = self.health()
        self._begin_window()
        if now.predicts_one_class and now.spread < min(ALIKE_DISTANCE, self._first.spread / 2):
            self._has_warned = True
            if state.is_world_process_zero:
                logger.warning(explain_collapse(self._first, now, args, state.global_step))


def explain_collapse(first: Health, now: Health, args: ContrastiveTrainingArguments, step: int) -> str:
    """The warning: the statistics at the beginning of the training and now, the likely cause, and what helps."""
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
