"""The samplers of a trainer: class-balanced batches of a training set or a stream."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch.utils.data import IterableDataset

from ..data.lengths import token_counts
from ..data.sampler import LabelBalancedSampler
from ..data.several_labels import rarest_labels
from ..data.streaming import BalancedStream, balance_stream
from ..training_args import ContrastiveTrainingArguments
from .splits import TrainingSet


def prepare_sampler(
    args: ContrastiveTrainingArguments, data: TrainingSet, batch_size: int, *, with_names: bool = False
) -> LabelBalancedSampler | None:
    """
    The sampler for batches of `batch_size` texts per process, to which the names of their classes may be added;
    `None` if that of transformers is used.

    Raises:
        ValueError: if the data do not allow balanced batches; see [`LabelBalancedSampler`].
    """
    # With one text per class, any order is balanced, and the second view or the name of its class is its positive.
    has_positives = args.num_views > 1 or with_names
    if data.labels is None or (has_positives and data.counts.max() < 2) or not is_balanced(args, batch_size):
        return None
    return LabelBalancedSampler(
        rarest_labels(data.labels),
        batch_size,
        samples_per_class=_samples_per_class(args, batch_size),
        lengths=token_counts(data.dataset).tolist() if args.group_lengths else None,
        drop_last=args.dataloader_drop_last,
        seed=args.seed if args.data_seed is None else args.data_seed,
    )


def order_stream(
    stream: IterableDataset, args: ContrastiveTrainingArguments, batch_size: int, num_labels: int
) -> IterableDataset:
    """Orders a stream into balanced batches, since a stream takes no sampler; see [`balance_stream`]."""
    if isinstance(stream, BalancedStream) or not is_balanced(args, batch_size):
        return stream
    # Endless: to resume, the Trainer skips batches, in a finite stream only within its first pass.
    return balance_stream(
        stream,
        batch_size,
        _samples_per_class(args, batch_size),
        seed=args.seed if args.data_seed is None else args.data_seed,
        group_lengths=args.group_lengths,
        endless=True,
        num_labels=num_labels,
    )


def _samples_per_class(args: ContrastiveTrainingArguments, batch_size: int) -> int:
    """Texts of one class in a balanced batch: fewer where `auto_find_batch_size` has made the batch smaller."""
    is_smaller = batch_size < args.train_batch_size
    return min(args.samples_per_class, batch_size // 2) if is_smaller else args.samples_per_class


def is_balanced(args: ContrastiveTrainingArguments, batch_size: int) -> bool:
    """Whether batches hold several texts per class: on request, or by default if they are large enough."""
    if args.sampler == "random" or _samples_per_class(args, batch_size) < 2:
        return False
    return args.sampler == "balanced" or (args.is_contrastive and args.train_batch_size >= 2 * args.samples_per_class)


def passes(dataloader: Any) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of a dataloader, epoch after epoch, without end; a `ValueError` if it has none."""
    for epoch in count():
        if hasattr(dataloader, "set_epoch"):  # accelerate's have it, those of a user need not
            dataloader.set_epoch(epoch)
        batch = None
        for batch in dataloader:
            yield batch
        if batch is None:
            raise ValueError(
                "The training set has no whole batch: lower per_device_train_batch_size, or set "
                "dataloader_drop_last=False."
            )


def check_stream(dataset: Any, args: ContrastiveTrainingArguments) -> None:
    """Raises a `ValueError` if `dataset` is a stream and a setting does not support streams."""
    if not isinstance(dataset, IterableDataset):
        return
    accelerator_config: Any = args.accelerator_config
    if args.world_size > 1 and accelerator_config.dispatch_batches is not False:
        raise ValueError(
            "train_dataset is a stream. By default the main process reads it for all processes, which fails for "
            "batches of different lengths: write accelerator_config={'dispatch_batches': False}, so that each process "
            "reads the stream and keeps its own batches."
        )
    refused: dict[str, Any] = {"class_weights": "balanced", "train_sampling_strategy": "group_by_length"}
    refused |= dict.fromkeys(("distill_mean", "head_start", "stop_when_learned", "head_refit"), True)
    for name, value in refused.items():
        if getattr(args, name) == value:
            raise ValueError(
                f"{name}={value!r} needs the whole training set, but train_dataset is a stream: leave it out, or "
                "collect the rows in a Dataset."
            )
    if isinstance(dataset, BalancedStream):
        if dataset.batch_size != args.train_batch_size:
            raise ValueError(
                f"train_dataset is ordered for batches of {dataset.batch_size}, but a batch has "
                f"{args.train_batch_size} texts: write balance_stream(..., batch_size={args.train_batch_size})."
            )
    elif is_balanced(args, args.train_batch_size):
        for name in ("eval_strategy", "save_strategy", "logging_strategy"):
            if getattr(args, name) == "epoch":
                raise ValueError(
                    f"{name}='epoch', but train_dataset is a stream, whose passes follow one another without a break: "
                    f"use {name}='steps'."
                )
