"""Which epoch it is, as the sampler is told during training."""

from typing import Any

from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .sampler import LabelBalancedSampler


class SamplerEpochCallback(TrainerCallback):
    """
    Tells the [`LabelBalancedSampler`] of the training data, before each epoch, which epoch it is.

    The Trainer does so itself, except where several processes resume in the middle of an epoch: these would go on with
    the order of another epoch, so that some texts of this one were seen twice and others never.
    """

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader,
        **kwargs: Any,
    ) -> None:
        """Sets the epoch of the sampler."""
        sampler = _balanced_sampler(train_dataloader)
        if sampler is not None:
            sampler.set_epoch(int(state.epoch))


def _balanced_sampler(dataloader: DataLoader) -> LabelBalancedSampler | None:
    """The sampler below the batch samplers of accelerate, unless the batches are drawn in another way."""
    level = dataloader
    while hasattr(level, "batch_sampler"):
        level = level.batch_sampler
    return level.sampler if isinstance(level.sampler, LabelBalancedSampler) else None
