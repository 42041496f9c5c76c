"""Initialisation of a new model before the first training step, and the texts that its classifier is fitted to."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, Subset
from transformers import TrainerCallback, TrainerState
from transformers.utils import logging

from ..data.lengths import token_counts
from ..model.classes import FOLDED
from ..model.loading import StartingPoint
from ..model.modeling import LCLForSequenceClassification
from ..model.pooling import default_pooling
from ..start.mean_distillation import num_distillation_batches
from ..start.unsupported import UnsupportedModelError
from ..training_args import ContrastiveTrainingArguments
from .names import BatchesWithNames, say_more


logger = logging.get_logger(__name__)

MAX_TEXTS = 20_000  # a logistic regression learns little from more
MAX_COMPARED = 2_000  # with class names: their mean changes little with more
NAMES_IN_BATCHES = "names_in_batches"  # in `LCLConfig.start`, beside the parts that are done
TITLES = {"distill_mean": "mean into first token", "head_start": "classifier fitted"}


class Start(TrainerCallback):
    """
    Runs [`start.distill_mean`] and [`start.fit_head`] before the first step of a model that was never trained.

    Completed parts are stored in the model's configuration (`LCLConfig.start`), and so in checkpoints: a resumed run,
    a second training or another trainer does not repeat them. Before the first part, the encoder embeds texts and
    class names: batches, those of the distillation too, hold names only if these [`names.say_more`]. This is noted
    there, too.

    All three functions are called with the title of their progress bar, the only thing that `train FILE` shows of
    them. `embed` returns embeddings and labels of texts, then of names. `fit_head` returns the features and labels of
    its fit, which are passed to `listener`, if it is set.
    """

    def __init__(
        self,
        embed: Callable[[str], tuple[Tensor, Tensor]],
        distill_mean: Callable[[str], None],
        fit_head: Callable[[str], tuple[Tensor, Tensor]],
    ):
        self._embed = embed
        self._parts: dict[str, Callable[[str], Any]] = {"distill_mean": distill_mean, "head_start": fit_head}
        self.listener: Callable[[Tensor, Tensor], None] | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Logs the parts and their share of the time, and runs them; `args` are [`ContrastiveTrainingArguments`]."""
        model, dataset = kwargs["model"], kwargs["train_dataloader"].dataset
        for fact in FOLDED:
            vars(model.native.config).pop(fact, None)  # of the classifier that the model started from
        if state.global_step == 0:
            wanted = {"distill_mean": distills_mean, "head_start": fits_head}
            parts = [name for name, is_wanted in wanted.items() if is_wanted(args, model, dataset)]
            is_unknown = args.distill_mean is None and model.starting_point.pools_mean is None
            if "head_start" in parts and is_unknown and state.is_world_process_zero:
                name = model.native.name_or_path
                logger.warning(
                    f"distill_mean is left out: there is no 1_Pooling/config.json of {name}, which says whether it is "
                    f"of use. Fetch it by: hf download {name} 1_Pooling/config.json"
                )
            if parts:
                batch_size = (state.train_batch_size or args.train_batch_size) * args.world_size
                compares = isinstance(dataset, BatchesWithNames) and model.config.start is None
                compared = MAX_COMPARED if compares else 0
                shares = start_shares(args, parts, len(dataset), batch_size, state.max_steps, compared)
                if state.is_world_process_zero:
                    told = (f"{TITLES[name]}, about {share:.0%} of the whole time" for name, share in shares.items())
                    without = ", ".join(f"{name}=False" for name in parts)
                    logger.warning(f"Before the first step: {', '.join(told)}. Left out by {without}.")
                if compares:
                    self._look_at_names(dataset, state, model)
                for place, (name, share) in enumerate(shares.items(), 1):
                    title = f"start {place}/{len(parts)}, {share:.0%} of the whole: {TITLES[name]}"
                    self._do(name, title, args, model)
            elif is_unstarted(args, model, dataset) and state.is_world_process_zero:
                logger.warning(
                    "Nothing is done before the first step, since a model in memory may be trained already. If its "
                    "classifier is new, pass the name of the encoder in its place, or set head_start=True (and "
                    "distill_mean=True for an encoder of sentence-transformers); if it is trained, head_start=False."
                )
        if isinstance(dataset, BatchesWithNames) and not learns_names(args, model, dataset):
            dataset.leave_names_out()
        model.starting_point = StartingPoint(has_new_head=False)  # from here on its weights are trained ones

    def _look_at_names(
        self, dataset: BatchesWithNames, state: TrainerState, model: LCLForSequenceClassification
    ) -> None:
        """Settles whether batches hold the names of their classes."""
        with torch.random.fork_rng(devices=[]):  # so that without names, training is as if there were none
            embeddings, labels = self._embed("class names and texts compared")
        model.config.start = [NAMES_IN_BATCHES] if say_more(embeddings, labels, len(dataset.names)) else []
        if not model.config.start and state.is_world_process_zero:
            logger.warning(
                "Batches are without class names: to this encoder, they say no more of their texts than these say of "
                "one another."
            )

    def _do(
        self, name: str, title: str, args: ContrastiveTrainingArguments, model: LCLForSequenceClassification
    ) -> None:
        try:
            made = self._parts[name](title)
        except UnsupportedModelError as error:  # by a classifier without a linear end, such as EuroBERT's
            if getattr(args, name):
                raise
            logger.warning(f"{name} is left out. {error}")
            if name == "head_start" and model.config.start:
                model.config.start = [part for part in model.config.start if part != NAMES_IN_BATCHES]
            return
        model.config.start = [*(model.config.start or ()), name]
        if made is not None and self.listener is not None:
            self.listener(*made)


def distillation_batches(args: ContrastiveTrainingArguments, num_texts: int, batch_size: int, max_steps: int) -> int:
    """
    The number of batches that [`start.distill_mean`] reads: as many as it needs, but by default (without
    `distill_mean=True`) only so many that it takes no longer than `max_steps` training steps (0 if unknown).
    """
    needed = num_distillation_batches(num_texts, batch_size)
    if args.distill_mean or max_steps <= 0:
        return needed
    room = max_steps * args.gradient_accumulation_steps * args.num_views
    # The teacher reads a text once, at a third of the time of a training step.
    return min(needed, max(1, 3 * room // 4, room - -(-num_texts // (3 * batch_size))))


def start_shares(
    args: ContrastiveTrainingArguments,
    parts: Sequence[str],
    num_texts: int,
    batch_size: int,
    max_steps: int,
    compared: int = 0,
) -> dict[str, float]:
    """
    The share of the total training time that each part takes, estimated in forward passes per text; the texts that are
    `compared` with class names count with the fit.
    """
    read = batch_size * distillation_batches(args, num_texts, batch_size, max_steps)
    # A backward pass takes twice the time of a forward pass.
    costs = {
        "distill_mean": 3 * read + min(read, num_texts),
        "head_start": min(num_texts, MAX_TEXTS) + min(num_texts, compared),
    }
    costs = {name: costs[name] for name in parts}
    training = 3 * max_steps * args.gradient_accumulation_steps * batch_size * args.num_views
    return {name: cost / (training + sum(costs.values())) for name, cost in costs.items()}


def distills_mean(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """
    Whether a run begins with [`start.distill_mean`].

    Raises:
        ValueError: if it is requested, but the classifier does not read the first token or the encoder is frozen.
    """
    if args.distill_mean is False or "distill_mean" in (model.config.start or ()):
        return False
    if not args.distill_mean:
        return _starts_by_default(args, dataset) and can_distill(model)
    if not _reads_first_token(model):
        raise ValueError(
            "distill_mean=True teaches the first token, which the classifier of "
            f"{model.config.text_config.model_type} does not read: leave it out."
        )
    if not _learns(model):
        raise ValueError("distill_mean=True teaches the encoder, which is frozen (requires_grad=False): leave it out.")
    return True


def can_distill(model: LCLForSequenceClassification) -> bool:
    """Whether a model gets [`start.distill_mean`] by default, provided that its objective allows it."""
    return bool(model.starting_point.pools_mean) and _reads_first_token(model) and _learns(model)


def _reads_first_token(model: LCLForSequenceClassification) -> bool:
    return default_pooling(model.native) == "cls"


def _learns(model: LCLForSequenceClassification) -> bool:
    return any(parameter.requires_grad for parameter in model.native.base_model.parameters())


def fits_head(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """Whether the classifier is fitted before the first step."""
    if args.head_start is not None:
        return args.head_start and "head_start" not in (model.config.start or ())
    return _starts_by_default(args, dataset) and bool(model.starting_point.has_new_head)


def is_unstarted(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """Whether a model would have the start by default, were it known that its classifier is new."""
    is_unknown = model.starting_point.has_new_head is None and model.config.start is None
    return args.head_start is None and is_unknown and _starts_by_default(args, dataset)


def learns_names(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """
    Whether batches hold the names of their classes: with a contrastive loss and one label per text, if a new
    classifier is fitted before the first step and these names [`names.say_more`]. Not with second views from a column,
    which names do not have.
    """
    has_own_views = args.num_views > 1 and args.view == "column"
    if _is_plain(args) or model.config.has_several_labels or has_own_views:
        return False
    done = model.config.start  # `None` before the first part of the start, the only time when names are compared
    return fits_head(args, model, dataset) if done is None else NAMES_IN_BATCHES in done


def _starts_by_default(args: ContrastiveTrainingArguments, dataset: Any) -> bool:
    # Plain cross-entropy has to equal training with transformers, step for step.
    return not (_is_plain(args) or args.fsdp or args.deepspeed or isinstance(dataset, IterableDataset))


def _is_plain(args: ContrastiveTrainingArguments) -> bool:
    return not args.is_contrastive or args.alpha == 1


def texts_and_names(dataset: Any, names: list[dict[str, Any]], seed: int = 0, most: int = MAX_TEXTS) -> Any:
    """
    At most `most` rows of the tokenised training set, drawn with `seed` and sorted by length, then those of `names`.
    """
    rows = np.random.default_rng(seed).permutation(len(dataset))[:most]
    by_length = rows[np.argsort(token_counts(dataset)[rows], kind="stable")]
    if not names:
        return Subset(dataset, by_length.tolist())
    # A batch of both can hold only the columns of both.
    texts = ({key: row[key] for key in names[0]} for row in map(dataset.__getitem__, by_length.tolist()))
    return [*texts, *names]
