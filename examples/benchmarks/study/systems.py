"""Systems that fine-tune a classifier from a pretrained encoder: transformers' and ours. Each is a row."""

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import MISSING, dataclass, field, fields
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification, tokenize_texts

from . import ingredients, starts
from .cells import Task
from .curve import AfterEachEpoch


@dataclass(frozen=True)
class Fitted:
    """
    A trained classifier.

    Args:
        logits (`Callable[[str], np.ndarray]`): maps the name of a split to the logits or log-probabilities of its
            texts, `(texts, classes)`.
        steps (`int`): updates of the encoder.
        details (`dict`): settings that the system chose itself, such as a penalty.
    """

    logits: Callable[[str], np.ndarray]
    steps: int
    details: dict[str, Any] = field(default_factory=dict)

    def predict(self, name: str) -> np.ndarray:
        """The class ids predicted for the texts of a split."""
        return self.logits(name).argmax(axis=1)


@dataclass(frozen=True)
class System:
    """
    A row of the tables.

    Args:
        fit (`Callable[..., Fitted]`): trains on `task.splits["train"]` only.
        options (`dict`): its keyword arguments beside the task; they are part of the identity of a run.
        packages (`tuple[str, ...]`): packages that it needs beside those of this library.
        has_own_budget (`bool`): whether it ignores the cell's budget and `bf16`, and uses only its options.
    """

    fit: Callable[..., Fitted]
    options: dict[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    has_own_budget: bool = False


def ours(
    model: dict[str, Any] | None = None,
    ingredient: str | None = None,
    keeps_tokens: bool = False,
    share_of_epochs: float = 1.0,
    names_in_training: bool | list[str] = False,
    names_in_batches: bool | str = False,
    **training: Any,
) -> System:
    """
    A system of this library.

    Args:
        model (`dict`, *optional*): arguments of `LCLForSequenceClassification.from_encoder`.
        ingredient (`str`, *optional*): name of a trainer in `ingredients` or `starts`, in place of
            `ContrastiveTrainer`.
        keeps_tokens (`bool`, *optional*, defaults to `False`): whether the distillation of the start keeps the hidden
            states of the other tokens, as in the library, or does not constrain them, as in its first version.
        share_of_epochs (`float`, *optional*, defaults to 1.0): share of the cell's epochs to train for.
        names_in_training (`bool` or `list[str]`, *optional*, defaults to `False`): whether the class names are
            training texts, or sentences around them.
        names_in_batches (`bool` or `"if they say more"`, *optional*, defaults to `False`): whether every batch holds
            the names of its classes, whatever they say, or as in the library.
        **training: fields of `ContrastiveTrainingArguments`, in place of their defaults.
    """
    inherited = {each.name for each in fields(TrainingArguments)}
    defaults = {
        each.name: each.default
        for each in fields(ContrastiveTrainingArguments)
        if each.name not in inherited and each.default is not MISSING
    }
    # Options that are off are left out, so that adding one to the library does not change the identity of runs.
    training = {name: value for name, value in (defaults | training).items() if value or name in training}
    if training["objective"] == "ce":
        training = {name: value for name, value in training.items() if name not in ("alpha", "temperature")}
    changes = {"ingredient": ingredient, "keeps_tokens": keeps_tokens}
    changes |= {"share_of_epochs": share_of_epochs} if share_of_epochs != 1 else {}
    changes |= {"names_in_training": names_in_training, "names_in_batches": names_in_batches}
    options = {"training": training, "model": model or {}}
    return System(fit_ours, options | {name: value for name, value in changes.items() if value})


def fit_ours(task: Task, **options: Any) -> Fitted:
    """Trains with `ContrastiveTrainer`."""
    trainer, tokens = train_ours(task, **options)
    return Fitted(lambda name: logits(trainer, tokens[name]), trainer.state.global_step)


def train_ours(
    task: Task,
    training: dict[str, Any],
    model: dict[str, Any],
    ingredient: str | None = None,
    keeps_tokens: bool = False,
    share_of_epochs: float = 1.0,
    names_in_training: bool | list[str] = False,
    names_in_batches: bool | str = False,
) -> tuple[ContrastiveTrainer, DatasetDict]:
    """Trains a `ContrastiveTrainer`, and returns it with all tokenised texts."""
    if names_in_training:
        task = task.with_names(("{}",) if names_in_training is True else names_in_training)
    tokenizer, tokens = tokenized(task)
    weighting = "head" if training["objective"] == "lcl" else "none"
    set_seed(task.seed)
    wrapper = LCLForSequenceClassification.from_encoder(
        task.encoder, id2label=dict(enumerate(task.names)), **{"weighting": weighting} | model
    )
    trainer = TRAINERS[ingredient](
        wrapper,
        ContrastiveTrainingArguments(**budget(task, share_of_epochs) | TO_THE_LAST_STEP | training),
        train_dataset=tokens["train"],
        processing_class=tokenizer,
    )
    watch(task, trainer, tokens)
    names = {
        False: patch("hf_lcl.trainer.learns_names", return_value=False),
        True: patch("hf_lcl.training.start.say_more", return_value=True),
    }.get(names_in_batches, nullcontext())
    with names, nullcontext() if keeps_tokens else patch("hf_lcl.start.mean_distillation.OTHER_TOKENS_WEIGHT", 0.0):
        trainer.train()
    return trainer, tokens


def fit_trainer(task: Task, names_as_texts: bool = False) -> Fitted:
    """Trains with transformers' `Trainer`: cross-entropy, and a head with random weights."""
    task = task.with_names() if names_as_texts else task
    tokenizer, tokens = tokenized(task)
    set_seed(task.seed)
    classifier = AutoModelForSequenceClassification.from_pretrained(task.encoder, num_labels=len(task.names))
    trainer = Trainer(
        classifier,
        TrainingArguments(**budget(task)),
        train_dataset=tokens["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    watch(task, trainer, tokens)
    trainer.train()
    return Fitted(lambda name: logits(trainer, tokens[name]), trainer.state.global_step)


def watch(task: Task, trainer: Trainer, tokens: DatasetDict) -> None:
    """Adds the callback for the curve of a task and calls its `follow`, if it has them."""
    if task.curve is not None:
        trainer.add_callback(AfterEachEpoch(task.curve, lambda: logits(trainer, tokens["validation"])))
    if task.follow is not None:
        task.follow(trainer, tokens)


def tokenized(task: Task) -> tuple[Any, DatasetDict]:
    """The tokenizer, and all splits tokenised, with `labels`."""
    tokenizer = AutoTokenizer.from_pretrained(task.encoder)
    splits = task.splits.rename_column("label", "labels")
    return tokenizer, tokenize_texts(splits, tokenizer, max_length=task.max_seq_length)


def budget(task: Task, share_of_epochs: float = 1.0) -> dict[str, Any]:
    """Fields of `TrainingArguments` common to all systems that fine-tune with a Trainer."""
    has_gpu = torch.cuda.is_available()
    return {
        "output_dir": tempfile.mkdtemp(),
        "seed": task.seed,
        "num_train_epochs": task.cell.epochs * share_of_epochs,
        "learning_rate": task.cell.learning_rate,
        "per_device_train_batch_size": task.cell.batch_size,
        "per_device_eval_batch_size": 64,
        "warmup_steps": 0.1,
        "bf16": task.bf16,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": not has_gpu,
        "dataloader_pin_memory": has_gpu,
    }


def logits(trainer: Trainer, tokens: Dataset) -> np.ndarray:
    """The logits of the texts `(texts, classes)`."""
    return trainer.predict(tokens).predictions


# Trainers by the name that is part of the identity of a run.
TRAINERS = {None: ContrastiveTrainer} | vars(ingredients) | vars(starts)
# The defaults of the contrastive objectives for encoders trained with mean pooling. All cells share one learning rate:
# a classifier that is fitted before the first step needs no larger one for many classes.
START = {"distill_mean": True, "head_start": True, "learning_rate": 1e-4, "keeps_tokens": True}
# Not part of the options, so that runs from before `stop_when_learned` existed keep their identity.
TO_THE_LAST_STEP = {"stop_when_learned": False}
# The start in its first version, with the lower learning rate that followed it.
FREE_TOKENS = START | {"learning_rate": 5e-5, "keeps_tokens": False}


def named(names_in_training: bool | list[str] = True, **training: Any) -> System:
    """`lcl-learned`, with the class names as training texts."""
    training = START | {"names_as_texts": False, "stop_when_learned": True, "objective": "lcl"} | training
    return ours(names_in_training=names_in_training, **training)


def anchored(ingredient: str | None = None, names_in_batches: bool | str = True, **training: Any) -> System:
    """`lcl-learned`, and every batch holds the names of its classes."""
    training = START | {"objective": "lcl", "stop_when_learned": True} | training
    return ours(ingredient=ingredient, names_in_batches=names_in_batches, **training)


SYSTEMS = {
    "trainer-ce": System(fit_trainer),
    # Cross-entropy with the same start and settings as the contrastive objectives.
    "ce": ours(objective="ce", **START),
    # The same with early stopping, running mean and refit, as the default has them.
    "ce-learned": ours(ingredient="ClassifierStops", objective="ce", **START),
    "scl": ours(objective="scl", **START),
    "lcl": ours(objective="lcl", **START),
    # Stops when the texts are learned, keeps the running mean of weights, and refits the head.
    "lcl-learned": ours(objective="lcl", stop_when_learned=True, **START),
    # The class names are training texts, too, and not only texts of the start.
    "lcl-names": named(),
    # Every batch holds the names of its classes.
    "lcl-anchors": anchored(),
    # The library's default: where they say more than the texts, which is so on all cells but those of intents.
    "lcl-default": anchored(names_in_batches="if they say more"),
    # A tenth of the epochs, for users who would wait only a tenth as long as for SetFit.
    "lcl-tenth": ours(objective="lcl", share_of_epochs=0.1, **START),
    # The objective without the start, with the head and the learning rate of `trainer-ce`.
    "lcl-random-head": ours(objective="lcl", distill_mean=False, head_start=False),
    "lcl-encoder": ours({"weighting": "encoder"}, objective="lcl", **START),
    "lcl-classifier": ours({"weighting": "classifier"}, objective="lcl", **START),
    "scl-two-phase": ours(objective="scl", alpha=0.0, **START | {"head_start": False, "head_refit": True}),
    "ce-free-tokens": ours(objective="ce", **FREE_TOKENS),
    "scl-free-tokens": ours(objective="scl", **FREE_TOKENS),
    "lcl-free-tokens": ours(objective="lcl", **FREE_TOKENS),
}
