"""What a training run tells the card of its classifier."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerState

from ..data.fingerprint import fingerprint
from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification
from ..training_args import ContrastiveTrainingArguments
from .card import CardFacts
from .card_facts import describe_hardware, evaluation_curve, package_versions, training_settings


METRICS = ("accuracy", "macro_f1", "weighted_f1")
COLUMNS = ("input_ids", "labels")


def run_facts(
    title: str,
    model: LCLForSequenceClassification,
    args: ContrastiveTrainingArguments,
    state: TrainerState,
    train_dataset: Any = None,
    eval_dataset: Any = None,
    *,
    is_adapter: bool = False,
    **known: Any,
) -> CardFacts:
    """
    All that a run knows of its classifier.

    Args:
        title (`str`): of the card, unless `known` has a `model_name`.
        model ([`LCLForSequenceClassification`]): the wrapper.
        args ([`ContrastiveTrainingArguments`]): all settings.
        state (`TrainerState`): of the run; metrics are those of the last evaluation in its log.
        train_dataset (*optional*): the trainer's.
        eval_dataset (*optional*): likewise.
        is_adapter (`bool`, *optional*, defaults to `False`): whether the adapter alone is saved.
        **known: fields of [`CardFacts`] that stand above what the run knows.
    """
    config, log = model.config, state.log_history
    last = next((line for line in reversed(log) if "eval_loss" in line), {})
    metrics = {name: last[f"eval_{name}"] for name in METRICS if f"eval_{name}" in last}
    # Neither streams nor several validation sets have a number of rows.
    splits = {
        name: split
        for name, split in {"train": train_dataset, "validation": eval_dataset}.items()
        if hasattr(split, "__len__") and not isinstance(split, dict)
    }
    facts = {
        "model_name": title,
        "labels": class_names(config),
        "objective": args.objective,
        # By default the arguments do not tell what was done before the first step.
        "settings": training_settings(args) | dict.fromkeys(config.start or (), True),
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
        "training_seconds": next((line["train_runtime"] for line in reversed(log) if "train_runtime" in line), None),
        "hardware": describe_hardware(),
        "versions": package_versions(is_adapter),
        "adapter": is_adapter,
        # Set when a model that transformers does not know is saved with its code, or was loaded from such code.
        "remote_code": bool(getattr(config.text_config, "auto_map", None)),
        "base_model": config._name_or_path or None,
    }
    facts |= {name: value for name, value in known.items() if value}
    # A folder of this machine says nothing to a reader, and is nobody's business.
    folders = [name for name in ("base_model", "dataset") if facts.get(name) and Path(facts[name]).exists()]
    return CardFacts(**facts | dict.fromkeys(folders))


@lru_cache(maxsize=4)  # of data sets that do not change, for every checkpoint that is pushed
def _fingerprint(split: Dataset) -> str:
    return fingerprint(split, COLUMNS)
