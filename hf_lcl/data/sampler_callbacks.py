"""Which epoch it is, as the sampler is told during training."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .sampler import LabelBalancedSampler


class SamplerEpochCallback(TrainerCallback):
    """
    Tells the [`LabelBalancedSampler`] of the training data, before each epoch, which epoch it is.

    The Trainer does so too, except where several processes resume in the middle of an epoch: these would go on with
    the order of another epoch, so that some texts of this one were seen twice and others never.
    """

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Sets the epoch of the sampler, which lies below the batch samplers of accelerate."""
        level = kwargs["train_dataloader"]
        while hasattr(level, "batch_sampler"):
            level = level.batch_sampler
        if isinstance(level.sampler, LabelBalancedSampler):
            level.sampler.set_epoch(int(state.epoch or 0))
