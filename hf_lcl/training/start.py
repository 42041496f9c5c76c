"""When a trainer fits the classifier, and when the encoder's first token is taught what its mean says."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, IterableDataset, Subset
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import TrainOutput
from transformers.utils import logging

from ..data.lengths import token_counts
from ..data.views import texts_alone
from ..model.modeling import LCLForSequenceClassification
from ..model.pooling import default_pooling
from ..start.head import fit_head
from ..start.mean_distillation import PASSES, TEXTS, distill_mean
from ..training_args import ContrastiveTrainingArguments


logger = logging.get_logger(__name__)

# What a logistic regression can learn about the classes, it learns from so many texts.
MOST_TEXTS = 20_000


class FittingTrainer(Trainer):
    """The part of [`ContrastiveTrainer`] that is at work before the first step and after the last."""

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """As in `transformers.Trainer`; with `head_refit` the classifier is fitted at the end."""
        output = super().train(*args, **kwargs)
        if self.args.head_refit:
            self.fit_classifier()
        return output

    def fit_classifier(self) -> None:
        """
        Fits the classifier to the training set by logistic regression on the embeddings; the encoder stays as it is.

        Of a large set it reads a part, drawn at random. With `names_as_texts`, the name of a class is a text of it.
        See [`fit_head`].
        """
        rows = np.random.default_rng(self.args.seed).permutation(len(self.train_dataset))[:MOST_TEXTS]
        by_length = rows[np.argsort(token_counts(self.train_dataset)[rows], kind="stable")]
        texts = Subset(self.train_dataset, by_length.tolist())
        if self.args.names_as_texts and self.processing_class is not None:
            names = names_as_texts(self._unwrapped.config.id2label, self.processing_class)
            texts = ConcatDataset([texts, names]) if names else texts
        # Not that of an evaluation, which would be kept for the next one where workers are persistent.
        batches = self.get_test_dataloader(texts)
        fit_head(
            self._unwrapped,
            map(texts_alone, batches),
            class_weights=self._class_weights,
            gather=self.accelerator.gather_for_metrics,
        )

    def distill_mean(self) -> None:
        """Teaches the encoder's first token, without labels, what the mean says; see [`fitting.distill_mean`]."""
        processes = self.accelerator.num_processes
        texts = min(TEXTS, PASSES * len(self.train_dataset))
        num_batches = -(-texts // (self._train_batch_size * processes))
        distill_mean(
            self._unwrapped,
            map(texts_alone, islice(self._epochs(), num_batches)),
            num_batches,
            context=self.compute_loss_context_manager,
            average=lambda gradient: self.accelerator.reduce(gradient, "mean"),
        )

    def _epochs(self) -> Iterator[dict[str, Tensor]]:
        """Training batches, epoch after epoch."""
        batches = self.get_train_dataloader()
        epoch = 0
        while True:
            batches.set_epoch(epoch)
            yield from batches
            epoch += 1


def distills_mean(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """
    Whether a run begins with [`~FittingTrainer.distill_mean`].

    Raises:
        ValueError: where it is asked for and the classifier does not read the first token.
    """
    reads_first_token = default_pooling(model.native) == "cls"
    if args.distill_mean and not reads_first_token:
        raise ValueError(
            "distill_mean=True teaches the first token, which the classifier of "
            f"{model.config.text_config.model_type} does not read: leave it out."
        )
    if args.distill_mean is not None:
        return args.distill_mean
    return model.starting_point.pools_mean and reads_first_token and _starts_by_default(args, dataset)


def fits_head(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """Whether the classifier is fitted before the first step."""
    if args.head_start is not None:
        return args.head_start
    return model.starting_point.has_new_head and _starts_by_default(args, dataset)


def _starts_by_default(args: ContrastiveTrainingArguments, dataset: Any) -> bool:
    # Plain cross-entropy is transformers' own training, step for step.
    is_plain = not args.is_contrastive or args.alpha == 1
    return not (is_plain or args.fsdp or args.deepspeed or isinstance(dataset, IterableDataset))


def names_as_texts(id2label: dict[int, str], tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    """
    The names of classes as tokenised texts with `labels`: of a class with five texts, a sixth.

    Args:
        id2label (`dict[int, str]`): the names. Those that say nothing (`"LABEL_3"`, `"3"`) are left out.
        tokenizer (`PreTrainedTokenizerBase`): the model's.

    Example:

    ```python
    >>> from hf_lcl.training.start import names_as_texts

    >>> [tokenizer.decode(row["input_ids"]) for row in names_as_texts({0: "card_arrival", 1: "LABEL_1"}, tokenizer)]
    ['[CLS] card arrival [SEP]']
    ```
    """
    spoken = {label: name.replace("_", " ") for label, name in id2label.items() if name != f"LABEL_{label}"}
    return [{**tokenizer(name), "labels": label} for label, name in spoken.items() if any(map(str.isalpha, name))]


class Start(TrainerCallback):
    """
    What is done before the first step of a run, and not where a run is taken up again.

    Args:
        trainer ([`FittingTrainer`]): the trainer.
        distills_mean (`bool`): whether to begin with [`~FittingTrainer.distill_mean`].
        fits_head (`bool`): whether to fit the classifier then.
    """

    def __init__(self, trainer: FittingTrainer, distills_mean: bool, fits_head: bool):
        self._trainer, self._distills_mean, self._fits_head = trainer, distills_mean, fits_head

    @property
    def settings(self) -> dict[str, bool]:
        """What is done, by the arguments that ask for it: by default they do not tell."""
        steps = {"distill_mean": self._distills_mean, "head_start": self._fits_head}
        return {name: True for name, is_done in steps.items() if is_done}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Distils and fits."""
        if state.global_step > 0:
            return
        if self._distills_mean:
            self._trainer.distill_mean()
        if self._fits_head:
            try:
                self._trainer.fit_classifier()
            except ValueError as error:  # a classifier without a linear end, such as EuroBERT's
                if args.head_start:
                    raise
                self._fits_head = False
                logger.warning(f"The classifier starts from random weights. {error}")
