"""What a card says of a model, and where a training run knows it from."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from ..evaluation.summary import read_summary
from ..training_args import ContrastiveTrainingArguments
from ..version import __version__


# Always printed, whatever their value.
ALWAYS = ("learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "seed")
OF_OBJECTIVE = ("alpha", "temperature", "normalize_embeddings")
# Printed where they are not transformers' default. A list of what may be seen, since others hold paths and tokens.
WHERE_CHANGED = (
    "max_steps",
    "data_seed",
    "optim",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "lr_scheduler_type",
    "warmup_steps",
    "label_smoothing_factor",
    "bf16",
    "fp16",
    "torch_compile",
    "neftune_noise_alpha",
    "load_best_model_at_end",
    "metric_for_best_model",
)
# What annotators of emotions call them; a model most of whose classes are among these is one of emotions.
_EMOTION_WORDS = """
admiration afraid amused amusement anger angry annoyance annoyed anticipating anticipation anxious apprehensive
approval ashamed caring confident confusion content curiosity desire despair devastated disappointed disappointment
disapproval disgust disgusted embarrassed embarrassment envious excited excitement faithful fear furious glad grateful
gratitude grief guilty happiness happy hopeful impressed jealous joy joyful lonely love nervousness neutral nostalgic
optimism pride prepared proud realization relief remorse sad sadness sentimental shame surprise surprised terrified
trust trusting
"""
EMOTIONS = frozenset(_EMOTION_WORDS.split())


@dataclass(frozen=True)
class CardFacts:
    """
    All that a card is made of. What is not known is left out of the card.

    Args:
        model_name (`str`): title of the card.
        labels (`list[str]`): class names by id.
        objective (`str`, *optional*): `"ce"`, `"scl"` or `"lcl"`.
        settings (`dict[str, Any]`, *optional*): training arguments worth printing, by name; see [`training_settings`].
        metrics (`dict[str, float]`, *optional*): results by name, without a prefix.
        split (`str`, *optional*): the split that `metrics` were measured on.
        rows (`int`, *optional*): number of texts in that split.
        seeds (`list[int]`, *optional*): of the runs that `metrics` are the mean of.
        calibration (`dict[str, Any]`, *optional*): expected calibration error as `error_before`; with `temperature`,
            also `error_after` it and whether it was `folded` into the weights.
        per_class (`list[dict]`, *optional*): as from [`per_class_table`].
        confused_pairs (`list[dict]`, *optional*): [`ConfusedPair`]s as dicts.
        baseline (`dict[str, float]`, *optional*): `metrics` of cross-entropy alone under the same budget.
        pictures (`dict[str, str]`, *optional*): title to the name of a file beside the card.
        base_model (`str`, *optional*): Hub id of the encoder.
        adapter (`bool`, *optional*, defaults to `False`): whether the weights are an adapter of `peft` alone.
        remote_code (`bool`, *optional*, defaults to `False`): whether loading it runs code of its repository.
        dataset (`str`, *optional*): Hub id of the data set.
        dataset_title (`str`, *optional*): its name, for people.
        dataset_revision (`str`, *optional*): its commit.
        data_notes (`list[str]`, *optional*): sentences about it: which of its rows, its licence.
        data_citation (`str`, *optional*): where it was published.
        splits (`dict[str, int]`, *optional*): number of texts by split.
        fingerprints (`dict[str, str]`, *optional*): of the tokens and labels by split.
        curve (`list[dict]`, *optional*): as from [`evaluation_curve`].
        best_step (`int`, *optional*): of the weights that were kept, where these are not the last ones.
        hardware (`str`, *optional*): see [`describe_hardware`].
        training_seconds (`float`, *optional*): without evaluation and saving where that is known.
        versions (`dict[str, str]`, *optional*): package to version.
        language (`str`, *optional*): two-letter code.
        license (`str`, *optional*): left out where it is not known.
        tags (`list[str]`, *optional*): beside those that every card gets.
    """

    model_name: str
    labels: list[str]
    objective: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    split: str | None = None
    rows: int | None = None
    seeds: list[int] = field(default_factory=list)
    calibration: dict[str, Any] = field(default_factory=dict)
    per_class: list[dict[str, Any]] = field(default_factory=list)
    confused_pairs: list[dict[str, Any]] = field(default_factory=list)
    baseline: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    base_model: str | None = None
    adapter: bool = False
    remote_code: bool = False
    dataset: str | None = None
    dataset_title: str | None = None
    dataset_revision: str | None = None
    data_notes: list[str] = field(default_factory=list)
    data_citation: str | None = None
    splits: dict[str, int] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    hardware: str | None = None
    training_seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    language: str | None = None
    license: str | None = None
    tags: list[str] = field(default_factory=list)

    @property
    def names_emotions(self) -> bool:
        """Whether most classes are emotions, which asks for words of warning."""
        return sum(label.lower() in EMOTIONS for label in self.labels) > len(self.labels) / 2


def with_report(facts: CardFacts, output_dir: str | Path) -> CardFacts:
    """
    The facts with the results of the report on the model in a folder, where there is one and it is of these weights.

    Args:
        facts ([`CardFacts`]): what is known else. The report's results stand in for theirs, which may be a mean of
            several runs; a `baseline` that was measured on another split is left out.
        output_dir (`str` or `Path`): the folder.
    """
    summary = read_summary(output_dir)
    if summary is None:
        return facts
    summary["fingerprints"] = facts.fingerprints | summary["fingerprints"]
    summary["splits"] = facts.splits | {summary["split"]: summary["rows"]}
    summary.setdefault("baseline", facts.baseline if summary["split"] == facts.split else {})
    seeds = facts.seeds if len(facts.seeds) == 1 else []
    return replace(facts, seeds=seeds, **summary)


def training_settings(args: ContrastiveTrainingArguments) -> dict[str, Any]:
    """
    The arguments that a reader wants to know: the usual ones, those of the objective, and all others that change the
    training and are not at their default. Nothing that could hold a path or a token.

    Args:
        args ([`ContrastiveTrainingArguments`]): of the run.
    """
    own = {item.name for item in fields(args)} - {item.name for item in fields(TrainingArguments)}
    defaults = {item.name: item.default for item in fields(args)}
    shown = ALWAYS + (OF_OBJECTIVE if args.is_contrastive else ())
    # What another argument has taken the place of.
    unused = {"num_train_epochs"} if args.max_steps > 0 else set()
    changed = [
        name
        for name in defaults
        if name in own.union(WHERE_CHANGED) - {"objective", *shown} and getattr(args, name) != defaults[name]
    ]
    values = {name: getattr(args, name) for name in (*shown, *changed) if name not in unused}
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def evaluation_curve(log_history: Sequence[dict[str, Any]], longest: int = 20) -> list[dict[str, Any]]:
    """
    The evaluations during training, with the training loss that was logged last before each.

    Args:
        log_history (`Sequence[dict]`): of the Trainer's state.
        longest (`int`, *optional*, defaults to 20): of more evaluations, so many at even distances, the last included.

    Returns:
        `list[dict]`: `epoch`, `step`, `loss`, and of `eval_loss`, `eval_accuracy` and `eval_macro_f1` what there is;
            `None` where it is missing.
    """
    names = ["eval_loss", "eval_accuracy", "eval_macro_f1"]
    names = [name for name in names if any(name in line for line in log_history)]
    rows: dict[int, dict[str, Any]] = {}
    loss = None
    for line in log_history:
        loss = line.get("loss", loss)
        if "eval_loss" in line:
            rows[line["step"]] = {"epoch": line["epoch"], "step": line["step"], "loss": loss}
            rows[line["step"]] |= {name: line.get(name) for name in names}
    every = max(1, -(-len(rows) // longest))
    return list(rows.values())[::-1][::every][::-1]


def describe_hardware() -> str:
    """What this process computes on, such as `"2 × NVIDIA A100"` or `"x86_64 CPU, 2 threads"`."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' * (threads > 1)}"


def package_versions(adapter: bool = False) -> dict[str, str]:
    """The versions that a reader needs to repeat a training, Python's included."""
    packages = ["transformers", "torch", "datasets", "tokenizers", *["peft"] * adapter]
    versions = {package: version(package) for package in packages}
    return {"python": platform.python_version(), "hf_lcl": __version__, **versions}
