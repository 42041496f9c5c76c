"""Tells the user when training has collapsed: texts look alike to the encoder, and one class is all it names."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.utils import logging

from ..training_args import ContrastiveTrainingArguments


logger = logging.get_logger(__name__)

# Steps that are judged together.
WINDOW = 50
# Mean cosine distance of two texts below which they look alike, if it was more than twice as much at the beginning:
# some encoders begin with embeddings that have nearly one direction.
ALIKE = 0.05
# Cosines are divided by 0.05 at the least; similarities far beyond that saturate the softmax.
STEEP = 1 / 0.05
MOST_ROWS = 256  # for the number of directions


@dataclass
class Health:
    """
    What a few steps of training look like.

    Args:
        accuracy (`float`): share of the texts that the classifier was right about.
        majority (`float`): share of their most frequent class.
        texts (`int`): how many there were.
        spread (`float`): mean cosine distance of two texts of a batch, from 0 (all alike).
        directions (`float`): effective rank of the embeddings of the last batch: the exponential of the entropy of
            their variance over its principal axes. At most their width.
        squared_length (`float`): mean squared length of an embedding.
        valid_anchors (`float`): share of the texts that have a positive in their batch.
    """

    accuracy: float
    majority: float
    texts: int
    spread: float
    directions: float
    squared_length: float
    valid_anchors: float

    @property
    def names_one_class(self) -> bool:
        """Whether the classifier is no better than one that always names the most frequent class."""
        noise = 2 * (self.majority * (1 - self.majority) / self.texts) ** 0.5
        return self.accuracy <= self.majority + noise


class CollapseMonitor(TrainerCallback):
    r"""
    Warns, once, when training with a contrastive objective has collapsed, with the likely cause and what helps.

    Un-normalised embeddings are how it happens most often: their dot products are so large at first that the shortest
    way down is to make all embeddings alike. There the contrastive loss is a plateau, log(batch - 1), and nothing is
    left for the classifier to tell classes apart by.

    [`ContrastiveTrainer`] shows it every batch of a training with `"scl"` or `"lcl"`;
    `trainer.remove_callback(CollapseMonitor)` takes it away.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl.training.collapse import CollapseMonitor

    >>> monitor = CollapseMonitor()
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> monitor.observe(torch.eye(4), torch.nn.functional.one_hot(labels).float(), labels)
    >>> health = monitor.health()
    >>> health.accuracy, health.majority, health.spread, round(health.directions, 2)
    (1.0, 0.5, 1.0, 3.0)
    ```
    """

    def __init__(self) -> None:
        self.on_train_begin()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Forgets what it has seen of another training."""
        self._has_warned = False
        self._first: Health | None = None
        self._start_over()

    def _start_over(self) -> None:
        self._batches: list[Tensor] = []
        self._classes: list[Tensor] = []
        self._embeddings: Tensor | None = None

    def observe(self, embeddings: Tensor, logits: Tensor, labels: Tensor) -> None:
        """
        Looks at a training batch; nothing waits for the device.

        Args:
            embeddings (`torch.Tensor` of shape `(batch, hidden)`): not normalised.
            logits (`torch.Tensor` of shape `(batch, num_labels)`): the classifier's.
            labels (`torch.LongTensor` of shape `(batch,)`): classes.
        """
        if self._has_warned or len(labels) < 2:
            return
        embeddings = embeddings.detach().float()
        unit, size = functional.normalize(embeddings, dim=1), len(labels)
        # The mean over all pairs but those of a text with itself, from the sum of the embeddings.
        cosine = (unit.sum(dim=0).square().sum() - size) / (size * (size - 1))
        positives = (labels.unsqueeze(0) == labels.unsqueeze(1)).sum(dim=1) - 1
        right = (logits.argmax(dim=1) == labels).float().mean()
        length = embeddings.square().sum(dim=1).mean()
        self._batches.append(torch.stack([right, 1 - cosine, length, (positives > 0).float().mean()]))
        self._classes.append(labels)
        self._embeddings = embeddings[:MOST_ROWS]
        if self._first is None:
            self._first = self.health()

    def health(self) -> Health:
        """What was observed since the last window ended."""
        right, spread, length, valid = torch.stack(self._batches).mean(dim=0).tolist()
        classes = torch.cat(self._classes)
        axes = torch.linalg.svdvals(self._embeddings - self._embeddings.mean(dim=0)).square()
        shares = axes / axes.sum().clamp(min=1e-30)
        return Health(
            accuracy=right,
            majority=(torch.bincount(classes).max() / len(classes)).item(),
            texts=len(classes),
            spread=spread,
            directions=torch.special.entr(shares).sum().exp().item(),
            squared_length=length,
            valid_anchors=valid,
        )

    def on_step_end(
        self, args: ContrastiveTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Judges each window, and starts the next one."""
        if self._has_warned or state.global_step % WINDOW or not self._batches:
            return
        now = self.health()
        self._start_over()
        if now.names_one_class and now.spread < min(ALIKE, self._first.spread / 2):
            self._has_warned = True
            if state.is_world_process_zero:
                logger.warning(self._told(now, args, state.global_step))

    def _told(self, now: Health, args: ContrastiveTrainingArguments, step: int) -> str:
        first = self._first
        found = (
            f"Training has collapsed by step {step}: over the last {now.texts} texts the classifier was right about "
            f"{now.accuracy:.0%}, no better than naming the most frequent class ({now.majority:.0%}), and two texts "
            f"have a mean cosine distance of {now.spread:.3f} ({first.spread:.3f} at the beginning; "
            f"{now.directions:.1f} directions)."
        )
        steepness = first.squared_length / args.temperature
        if not args.normalize_embeddings and steepness > STEEP:
            return (
                f"{found} The likely cause: dot products over the temperature began at {steepness:.0f}, where the "
                "softmax is saturated. Use normalize_embeddings=True with a temperature of 0.1 to 0.5, or a "
                f"temperature of {first.squared_length / 3:.0f} or more."
            )
        if now.valid_anchors < 0.5:
            return (
                f"{found} The likely cause: {1 - now.valid_anchors:.0%} of the texts had no positive in their batch. "
                "Use sampler='balanced', a larger per_device_train_batch_size, or num_views=2."
            )
        return (
            f"{found} The likely cause: steps that are too large. Lower learning_rate (now {args.learning_rate:g}), "
            f"set warmup_steps=0.1, or raise alpha (now {args.alpha:g}) for more cross-entropy."
        )
