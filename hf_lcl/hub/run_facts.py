"""Collects the facts of a training run for the card of its classifier."""

import platform
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerState, TrainingArguments

from ..data.fingerprint import fingerprint
from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification
from ..support.version import __version__
from ..training_args import ContrastiveTrainingArguments
from .card_facts import CardFacts
from .export import saves_adapter


METRICS = (
    *("accuracy", "micro_f1", "macro_f1", "weighted_f1"),
    *("subset_accuracy", "hamming_loss", "mean_average_precision"),
)
COLUMNS = ("input_ids", "labels")
# Arguments that a card always shows.
SHOWN = ("learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "seed")
SHOWN_IF_CONTRASTIVE = ("alpha", "temperature", "normalize_embeddings")
# Arguments of transformers that a card shows if they are not the default. All others may hold paths or tokens.
_SHOWN_IF_CHANGED = """
max_steps data_seed optim weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm lr_scheduler_type warmup_steps
label_smoothing_factor bf16 fp16 torch_compile neftune_noise_alpha load_best_model_at_end metric_for_best_model
"""


def run_facts(
    title: str,
    model: LCLForSequenceClassification,
    args: ContrastiveTrainingArguments,
    state: TrainerState,
    train_dataset: Any = None,
    eval_dataset: Any = None,
    *,
    done: Sequence[str] = (),
    **known: Any,
) -> CardFacts:
    """
    All facts of a run about its classifier. `done` are arguments whose automatic default became `True`; `known` are
    other fields of [`CardFacts`], which take precedence. Metrics are those of the last evaluation in the log of
    `state`.
    """
    config, log, is_adapter = model.config, state.log_history, saves_adapter(model, args)

    def last_with(name: str) -> dict[str, Any]:
        return next((entry for entry in reversed(log) if name in entry), {})

    last_evaluation = last_with("eval_loss")
    metrics = {name: last_evaluation[f"eval_{name}"] for name in METRICS if f"eval_{name}" in last_evaluation}
    # The number of rows is unknown for streams and for several validation sets.
    splits = {
        name: split
        for name, split in {"train": train_dataset, "validation": eval_dataset}.items()
        if hasattr(split, "__len__") and not isinstance(split, dict)
    }
    facts: dict[str, Any] = {
        "model_name": title,
        "labels": class_names(config),
        "several_labels": config.has_several_labels,
        "thresholds": getattr(config.text_config, "folded_thresholds", None) or {},
        "temperature": getattr(config.text_config, "folded_temperature", None),
        "objective": args.objective,
        # The default of `head_start` and others depends on the model, whose configuration records what was done.
        "settings": training_settings(args) | dict.fromkeys([*(config.start or ()), *done], True),
        "metrics": metrics,
        "split": "validation" if metrics else None,
        "rows": len(splits["validation"]) if metrics and "validation" in splits else None,
        "seeds": [args.seed],
        "splits": {name: len(split) for name, split in splits.items()},
        "fingerprints": {
            name: _fingerprint(split)
            for name, split in splits.items()
            if isinstance(split, Dataset) and set(COLUMNS) <= set(split.column_names)
        },
        "curve": evaluation_curve(log),
        "best_step": state.best_global_step if args.load_best_model_at_end else None,
        "training_seconds": last_with("train_runtime").get("train_runtime"),
        "hardware": describe_hardware(),
        "versions": package_versions(is_adapter),
        "adapter": is_adapter,
        # Set if the model was saved with its code, or loaded from such code.
        "remote_code": bool(getattr(config.text_config, "auto_map", None)),
        "base_model": config._name_or_path or None,
    }
    facts |= {name: value for name, value in known.items() if value}
    facts["tags"] = [*facts.get("tags", ()), *(model.model_tags or ())]
    for name in ("base_model", "dataset"):
        if facts.get(name) and Path(facts[name]).exists():  # a local folder is private
            facts[name] = None
    return CardFacts(**facts)


def trainer_facts(
    language: str | None = None,
    license: str | None = None,
    tags: str | list[str] | None = None,
    model_name: str | None = None,
    finetuned_from: str | None = None,
    tasks: Any = None,
    dataset_tags: str | list[str] | None = None,
    dataset: str | list[str] | None = None,
    dataset_args: Any = None,
    **facts: Any,
) -> dict[str, Any]:
    """Converts the arguments of `Trainer.create_model_card`, for one task and data set, to [`CardFacts`] fields."""
    hub_id = dataset_tags[0] if isinstance(dataset_tags, list) else dataset_tags
    title = ", ".join(dataset) if isinstance(dataset, list) else dataset
    tags = [tags] if isinstance(tags, str) else tags
    facts |= {"language": language, "license": license, "tags": tags, "model_name": model_name}
    return facts | {"base_model": finetuned_from, "dataset": hub_id, "dataset_title": title}


def training_settings(args: ContrastiveTrainingArguments) -> dict[str, Any]:
    """
    The arguments that a card shows: the usual ones, those of the objective, and all others that change the training
    and are not the default, but none that could hold a path or a token.
    """
    candidates = {item.name for item in fields(args)} - {item.name for item in fields(TrainingArguments)}
    candidates |= set(_SHOWN_IF_CHANGED.split())
    shown = [*SHOWN, *(SHOWN_IF_CONTRASTIVE if args.is_contrastive else ())]
    shown += [
        item.name
        for item in fields(args)
        if item.name in candidates - {"objective", *shown} and getattr(args, item.name) != item.default
    ]
    if args.max_steps > 0:
        shown.remove("num_train_epochs")
    values = {name: getattr(args, name) for name in shown}
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def evaluation_curve(log_history: Sequence[dict[str, Any]], max_rows: int = 20) -> list[dict[str, Any]]:
    """
    The evaluations in the log of a training; if there are more than `max_rows`, every n-th, the last included. A row
    has `epoch`, `step`, the `loss` logged before, and the metrics in the log (`None` for a missing one).
    """
    names = ["eval_loss", "eval_accuracy", "eval_micro_f1", "eval_macro_f1"]
    names = [name for name in names if any(name in entry for entry in log_history)]
    rows: dict[int, dict[str, Any]] = {}
    loss = None
    for entry in log_history:
        loss = entry.get("loss", loss)
        if "eval_loss" in entry:
            rows[entry["step"]] = {"epoch": entry["epoch"], "step": entry["step"], "loss": loss}
            rows[entry["step"]] |= {name: entry.get(name) for name in names}
    every = max(1, -(-len(rows) // max_rows))
    return list(rows.values())[::-1][::every][::-1]


def describe_hardware() -> str:
    """The devices of this process, such as `"2 × NVIDIA A100"` or `"x86_64 CPU, 2 threads"`."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' * (threads > 1)}"


def package_versions(adapter: bool = False) -> dict[str, str]:
    """The versions of Python and of the packages that a training depends on."""
    packages = ["transformers", "torch", "datasets", "tokenizers", *["peft"] * adapter]
    return {"python": platform.python_version(), "hf_lcl": __version__} | {name: version(name) for name in packages}


@lru_cache(maxsize=4)  # every pushed checkpoint needs the fingerprints of the same data sets
def _fingerprint(split: Dataset) -> str:
    return fingerprint(split, COLUMNS)
