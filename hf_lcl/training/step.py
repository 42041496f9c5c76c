"""One training batch: its views, their forward pass, the candidates of the anchors, the loss and its parts."""

import math
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import logging

from ..data.views import batch_of_views
from ..losses.checks import rows_not_finite
from ..losses.meter import PartMeter
from ..losses.objective import Objective
from ..model.classes import class_names
from ..model.configuration import LCLConfig
from ..model.outputs import LCLOutput
from ..support.checkpoints import newest_checkpoint
from ..training_args import ContrastiveTrainingArguments
from .batching import is_balanced
from .scaling import GradientCache, gather_candidates


logger = logging.get_logger(__name__)


class Step:
    """
    Computes the loss of training batches, and averages its parts until they are logged.

    [`~Step.loss`] is the forward pass. [`~Step.finish`] follows `loss.backward()`: it propagates gradients from the
    outputs of mini-batches to the weights, and checks that the loss was finite, with one read from the device that
    overlaps with the backward pass. `cross_entropies` are then the means over all processes for the classifier and, if
    it is trained, for the weighting network. `args` are read at each step.
    """

    def __init__(self, args: ContrastiveTrainingArguments):
        self.args = args
        self.parts = PartMeter()
        self.cross_entropies: list[float] = []
        self._cache: GradientCache | None = None
        self._last: tuple[Any, ...] | None = None  # None in a trainer that computes a loss of its own
        self._has_warned = False

    def loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        labels: Tensor,
        config: LCLConfig,
        objective: Objective,
        *,
        is_name: Tensor | None = None,
        scale: float = 1.0,
        average: Callable[[Tensor], Tensor] = lambda numbers: numbers,
    ) -> tuple[LCLOutput, Tensor, Tensor]:
        """
        The outputs, the loss and the labels of all views of a batch.

        `model` is an [`LCLForSequenceClassification`], bare or wrapped for several processes, and `config` that of the
        bare model; `inputs` and `labels` have one row per text; `is_name` marks those rows that are names of classes;
        `scale` is the weight of the batch in the averaged parts; `average` takes the mean over all processes, so that
        all of them stop at the same step.
        """
        args = self.args
        inputs, labels = batch_of_views(inputs, labels, args.num_views, args.view)
        self._cache = None
        if args.mini_batch_size is not None:
            # Reformer's position embeddings need inputs of one length.
            self._cache = GradientCache(args.mini_batch_size, trim=config.text_config.model_type != "reformer")
        outputs: Any = model(**inputs) if self._cache is None else self._cache.forward(model, inputs)
        gathers = args.is_contrastive and args.gather_across_devices and args.world_size > 1
        marks = None if is_name is None else torch.cat([is_name] * args.num_views)
        candidates = gather_candidates(outputs.embeddings, labels, marks) if gathers else None
        loss, parts = objective(
            outputs.logits,
            outputs.embeddings,
            outputs.weighting_logits,
            labels,
            candidates,
            views=args.num_views,
            is_name=marks,
        )
        self.parts.add(parts, scale=scale)
        self._last = config, labels, parts, outputs.embeddings.detach()
        valid = parts["valid_anchors"].value if "valid_anchors" in parts else loss.new_ones(())
        classification = [parts[name].value for name in ("loss_ce", "loss_weighting") if name in parts]
        numbers = [each.float() for each in (loss.detach(), valid, *classification)]
        self._read = read_later(average(torch.stack(numbers)))
        return outputs, loss, labels

    def finish(
        self,
        model: nn.Module,
        *,
        step: int = 0,
        batch_size: int = 1,
        no_sync: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        """
        The rest of the backward pass, and a check of the loss; `no_sync` is passed to [`GradientCache.backward`].

        Raises:
            FloatingPointError: if the loss was not finite. `step`, the number of updates so far, is for the message.
        """
        if self._cache is not None:
            self._cache.backward(model, no_sync=no_sync)
        if self._last is None:
            return
        config, labels, parts, embeddings = self._last
        loss, valid_anchors, *self.cross_entropies = self._read()
        if not math.isfinite(loss):
            values = ", ".join(f"{name}={part.value.item():.4g}" for name, part in parts.items())
            problem = rows_not_finite("embeddings", embeddings) or f"The loss is {loss} ({values})."
            checkpoint = newest_checkpoint(self.args.output_dir)
            kept = f"The last checkpoint is {checkpoint}." if checkpoint else "No checkpoint had been written yet."
            raise FloatingPointError(
                f"Stopped at step {step + 1}, before the weights were updated. {problem} {kept} Lower the learning "
                "rate, raise the temperature, or train without fp16."
            )
        # The last batch of an epoch may be too small to have positives.
        if valid_anchors > 0 or self._has_warned or len(labels) < batch_size:
            return
        self._has_warned = True
        names = class_names(config)
        ids = labels.nonzero()[:, 1] if labels.dim() == 2 else labels
        counts = ", ".join(f"{names[label]}: {n}" for label, n in Counter(ids.tolist()).most_common(8))
        if is_balanced(self.args, batch_size):
            remedy = "Classes with a single text have none, and learn by cross-entropy alone: add texts."
        else:
            remedy = (
                "Use sampler='balanced', or a larger per_device_train_batch_size (with mini_batch_size where memory "
                "is short)."
            )
        logger.warning(
            f"No anchor of the batch at step {step + 1} has a positive ({counts}): the contrastive loss is 0 for this "
            f"step. {remedy}"
        )


def read_later(numbers: Tensor) -> Callable[[], list[float]]:
    """Starts copying numbers to the host; the returned function waits for the copy, but not for work queued later."""
    if numbers.device.type != "cuda":
        return numbers.tolist
    copy = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True).copy_(numbers, non_blocking=True)
    has_arrived = torch.cuda.Event()
    has_arrived.record()

    def read() -> list[float]:
        has_arrived.synchronize()
        return copy.tolist()

    return read
