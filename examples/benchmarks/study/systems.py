"""Ways to make a classifier of a pretrained encoder and labelled texts: transformers' and ours. Each is a row."""

import tempfile
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

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

from .cells import Task


@dataclass(frozen=True)
class Fitted:
    """
    A classifier that is ready.

    Args:
        predict (`Callable[[Dataset], np.ndarray]`): class ids of texts (column `text`), in their order.
        steps (`int`): updates of the encoder.
        details (`dict`): what the system found out by itself, such as a penalty.
    """

    predict: Callable[[Dataset], np.ndarray]
    steps: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """
    A row of the tables.

    Args:
        fit (`Callable[..., Fitted]`): learns from `task.splits["train"]` alone.
        options (`dict`): its keyword arguments beside the task; another value makes another run.
        packages (`tuple[str, ...]`): what it needs beside what we need.
        has_own_budget (`bool`): whether it goes by its options alone, in float32, and not by the cell's budget.
    """

    fit: Callable[..., Fitted]
    options: dict[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    has_own_budget: bool = False


def ours(model: dict[str, Any] | None = None, **training: Any) -> System:
    """
    A system of this library.

    Args:
        model (`dict`, *optional*): arguments of `LCLForSequenceClassification.from_encoder`.
        **training: fields of `ContrastiveTrainingArguments`, in place of their defaults.
    """
    inherited = {each.name for each in fields(TrainingArguments)}
    defaults = {
        each.name: each.default
        for each in fields(ContrastiveTrainingArguments)
        if each.name not in inherited and each.default is not MISSING
    }
    # What is off is left out, so that an option that is new and off makes no finished run another one.
    training = {name: value for name, value in (defaults | training).items() if value or name in training}
    if training["objective"] == "ce":
        training = {name: value for name, value in training.items() if name not in ("alpha", "temperature")}
    return System(fit_ours, {"training": training, "model": model or {}})


def fit_ours(task: Task, training: dict[str, Any], model: dict[str, Any]) -> Fitted:
    """`ContrastiveTrainer`."""
    trainer, tokens = train_ours(task, training, model)
    return Fitted(lambda _: predictions(trainer, tokens["test"]), trainer.state.global_step)


def train_ours(task: Task, training: dict[str, Any], model: dict[str, Any]) -> tuple[ContrastiveTrainer, DatasetDict]:
    """A `ContrastiveTrainer` that has trained, and all texts as it reads them."""
    tokenizer, tokens = tokenized(task)
    weighting = "head" if training["objective"] == "lcl" else "none"
    set_seed(task.seed)
    wrapper = LCLForSequenceClassification.from_encoder(
        task.encoder, id2label=dict(enumerate(task.names)), **{"weighting": weighting} | model
    )
    trainer = ContrastiveTrainer(
        wrapper,
        ContrastiveTrainingArguments(**budget(task) | training),
        train_dataset=tokens["train"],
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer, tokens


def fit_trainer(task: Task) -> Fitted:
    """transformers' `Trainer` as it comes: cross-entropy, a new head."""
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
    trainer.train()
    return Fitted(lambda _: predictions(trainer, tokens["test"]), trainer.state.global_step)


def tokenized(task: Task) -> tuple[Any, DatasetDict]:
    """The tokenizer, and token ids and `labels` of all texts."""
    tokenizer = AutoTokenizer.from_pretrained(task.encoder)
    splits = task.splits.rename_column("label", "labels")
    return tokenizer, tokenize_texts(splits, tokenizer, max_length=task.max_seq_length)


def budget(task: Task) -> dict[str, Any]:
    """Fields of `TrainingArguments` that are the same for all who fine-tune with a Trainer."""
    has_gpu = torch.cuda.is_available()
    return {
        "output_dir": tempfile.mkdtemp(),
        "seed": task.seed,
        "num_train_epochs": task.cell.epochs,
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


def predictions(trainer: Trainer, tokens: Dataset) -> np.ndarray:
    """Class ids."""
    return trainer.predict(tokens).predictions.argmax(axis=1)


# A classifier that is fitted before the first step needs smaller steps than a random one.
GENTLE = {"learning_rate": 5e-5}
SYSTEMS = {
    "trainer-ce": System(fit_trainer),
    # Cross-entropy with all that the contrastive objectives get.
    "ce": ours(objective="ce", distill_mean=True, head_start=True, **GENTLE),
    "scl": ours(objective="scl", **GENTLE),
    "lcl": ours(objective="lcl", **GENTLE),
    "lcl-encoder": ours({"weighting": "encoder"}, objective="lcl", **GENTLE),
    "lcl-classifier": ours({"weighting": "classifier"}, objective="lcl", **GENTLE),
    "scl-two-phase": ours(objective="scl", two_phase=True, **GENTLE),
}
