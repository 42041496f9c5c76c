"""What a trainer draws its batches from: class-balanced orders of a training set, and of a stream."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import torch

from ..data.lengths import token_counts
from ..data.sampler import LabelBalancedSampler
from ..data.streaming import BalancedStream, balance_stream
from ..training_args import ContrastiveTrainingArguments


def samples_per_class(args: ContrastiveTrainingArguments, batch_size: int) -> int:
    """Texts of one class in a balanced batch: fewer where `auto_find_batch_size` has made the batch smaller."""
    return (
        args.samples_per_class if batch_size >= args.train_batch_size else min(args.samples_per_class, batch_size // 2)
    )


def draws_balanced_batches(
    args: ContrastiveTrainingArguments, labels: np.ndarray | None = None, batch_size: int | None = None
) -> bool:
    """Whether batches hold several texts per class: where asked for, and by default where size and labels allow it."""
    if args.sampler == "random":
        return False
    # One text per class is balanced in any order, and a second view its positive; without views the sampler says so.
    if labels is not None and args.num_views > 1 and np.bincount(labels).max() < 2:
        return False
    if batch_size is not None and samples_per_class(args, batch_size) < 2:
        return False
    return args.sampler == "balanced" or (args.is_contrastive and args.train_batch_size >= 2 * args.samples_per_class)


def prepare_sampler(
    args: ContrastiveTrainingArguments, labels: np.ndarray, dataset: Any, batch_size: int
) -> LabelBalancedSampler:
    """
    The order of the training texts.

    Args:
        args ([`ContrastiveTrainingArguments`]): all settings.
        labels (`np.ndarray` of shape `(rows,)`): class ids of the training set.
        dataset: the training set, tokenised.
        batch_size (`int`): texts per batch and process.

    Raises:
        ValueError: where batches of that kind cannot be had from the data; see [`LabelBalancedSampler`].
    """
    return LabelBalancedSampler(
        labels,
        batch_size,
        samples_per_class=samples_per_class(args, batch_size),
        lengths=token_counts(dataset) if args.group_lengths else None,
        drop_last=args.dataloader_drop_last,
        seed=args.seed if args.data_seed is None else args.data_seed,
    )


def order_stream(
    stream: torch.utils.data.IterableDataset, args: ContrastiveTrainingArguments, batch_size: int, num_labels: int
) -> torch.utils.data.IterableDataset:
    """A stream in the order of its batches, which no sampler can bring it into; see [`balance_stream`]."""
    if not draws_balanced_batches(args, batch_size=batch_size) or isinstance(stream, BalancedStream):
        return stream
    # Endless: the Trainer skips batches to take up a run again, and would skip them in the first pass alone.
    return balance_stream(
        stream,
        batch_size,
        samples_per_class(args, batch_size),
        seed=args.seed if args.data_seed is None else args.data_seed,
        group_lengths=args.group_lengths,
        endless=True,
        num_labels=num_labels,
    )


def passes(dataloader: Any) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of a prepared dataloader, epoch after epoch, without end."""
    for epoch in count():
        dataloader.set_epoch(epoch)
        yield from dataloader


def check_stream(dataset: torch.utils.data.IterableDataset, args: ContrastiveTrainingArguments) -> None:
    """Raises a `ValueError` for settings that need to know the whole training set, where `dataset` is a stream."""
    if args.world_size > 1 and args.accelerator_config.dispatch_batches is not False:
        raise ValueError(
            "train_dataset is a stream, which one of several processes would read for all, and it cannot join batches "
            "of different lengths: write accelerator_config={'dispatch_batches': False}, and each process reads the "
            "stream and takes its batches of it."
        )
    if args.class_weights == "balanced":
        raise ValueError(
            "class_weights='balanced' counts the texts of each class, but train_dataset is a stream: give the "
            "numbers, one per class, such as class_weights=[1.0, 2.5, ...]."
        )
    for name in ("distill_mean", "head_start", "head_refit"):
        if getattr(args, name):
            raise ValueError(
                f"{name}=True reads the training set by itself, but train_dataset is a stream: leave it out, or "
                "collect the rows in a Dataset."
            )
    if args.train_sampling_strategy == "group_by_length":
        raise ValueError(
            "train_sampling_strategy='group_by_length' sorts the whole training set, but train_dataset is a stream: "
            "leave it out."
        )
    if isinstance(dataset, BalancedStream):
        if dataset.batch_size != args.train_batch_size:
            raise ValueError(
                f"train_dataset is ordered for batches of {dataset.batch_size}, but a batch has "
                f"{args.train_batch_size} texts: write balance_stream(..., batch_size={args.train_batch_size})."
            )
    elif draws_balanced_batches(args):
        for name in ("eval_strategy", "save_strategy", "logging_strategy"):
            if getattr(args, name) == "epoch":
                raise ValueError(
                    f"{name}='epoch', but train_dataset is a stream, whose passes follow one another without a break: "
                    f"use {name}='steps'."
                )
