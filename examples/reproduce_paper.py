#!/usr/bin/env python
"""
Every system of the two papers on every data set of theirs:

    python examples/reproduce_paper.py --systems ce scl lcl --datasets sst5 emoint --seeds 0 1 2 \
        --encoder google/electra-base-discriminator --results paper.jsonl
    python examples/reproduce_paper.py --results paper.jsonl --table paper.md

A finished run is one line of the results, and is not run again; a run that was cut short is. `--table` runs nothing:
it shows what there is, beside the figures that the papers print. `--max_train_samples` makes a run fit a laptop.
"""

import os
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from datasets import DatasetDict
from tqdm import tqdm
from transformers import AutoTokenizer, set_seed

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    classification_metrics,
    encode_labels,
    tokenize_texts,
)
from hf_lcl.baselines import build_baseline
from hf_lcl.cli import one_line_errors, parse_arguments
from hf_lcl.data.recipes import load_recipe, recipe_names
from hf_lcl.evaluation.ledger import Ledger, fingerprint


@dataclass(frozen=True)
class System:
    """
    A row of the tables.

    Args:
        training (`dict`): fields of `ContrastiveTrainingArguments`, in place of those of all systems.
        model (`dict`): arguments of `LCLForSequenceClassification.from_encoder`.
        baseline (`str`, *optional*): a recurrent encoder that starts from nothing, instead of a pretrained one.
    """

    training: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    baseline: str | None = None


# The later paper's best setting compares plain dot products.
DOT_PRODUCTS = {"normalize_embeddings": False, "temperature": 10.0, "alpha": 0.2}
# Each text beside a copy of it that lacks some words: in place of the synonyms of WordNet.
VIEWS = {"num_views": 2, "view": "word_dropout"}
FROM_NOTHING = {"learning_rate": 1e-3, "num_train_epochs": 10}
SYSTEMS = {
    "rnn": System({"objective": "ce", **FROM_NOTHING}, baseline="rnn"),
    "gru": System({"objective": "ce", **FROM_NOTHING}, baseline="gru"),
    "gru-scl": System({"objective": "scl", **FROM_NOTHING}, baseline="gru"),
    "gru-lcl": System({"objective": "lcl", **FROM_NOTHING}, baseline="gru"),
    "ce": System({"objective": "ce"}),
    "scl": System({"objective": "scl"}),
    "scl-two-phase": System({"objective": "scl", "two_phase": True}),
    "scl-mean": System({"objective": "scl"}, {"pooling": "mean"}),
    "scl-views": System({"objective": "scl", **VIEWS}),
    "scl-dot": System({"objective": "scl", **DOT_PRODUCTS}),
    # The lowest temperature that the later paper searched; see "33 % on EmoInt" in the README.
    "scl-dot-0.07": System({"objective": "scl", **DOT_PRODUCTS, "temperature": 0.07}),
    "scl-positives": System({"objective": "scl", "temperature_scaling": "positives"}),
    "lcl": System({"objective": "lcl"}),
    "lcl-encoder": System({"objective": "lcl"}, {"weighting": "encoder"}),
    "lcl-classifier": System({"objective": "lcl"}, {"weighting": "classifier"}),
    "lcl-mean": System({"objective": "lcl"}, {"pooling": "mean"}),
    "lcl-views": System({"objective": "lcl", **VIEWS}),
    "lcl-dot": System({"objective": "lcl", **DOT_PRODUCTS}),
    "lcl-inside": System({"objective": "lcl", "weight_placement": "inside"}),
    "lcl-positives": System({"objective": "lcl", "temperature_scaling": "positives"}),
}

# Accuracy in percent, from Tables 1 and 2 and section 4 of "Happy is Farther From Sad Than Joyful".
PRINTED = {
    "RNN": {"system": "rnn", "empathetic_dialogues": 25.0},
    "GRU": {"system": "gru", "empathetic_dialogues": 30.0},
    "BERT-base": {
        "system": "ce",
        "empathetic_dialogues": 55.0,
        "goemotions": 60.2,
        "emoint": 85.0,
        "sst5": 52.5,
        "sst2": 93.5,
        "ag_news": 94.5,
        "tsa": 84.2,
        "parsinlu": 76.0,
    },
    "ELECTRA-base": {"system": "ce", "empathetic_dialogues": 56.4, "sst5": 55.6, "sst2": 94.5},
    "ELECTRA-base, SCL": {
        "system": "scl",
        "empathetic_dialogues": 56.8,
        "goemotions": 56.8,
        "emoint": 33.1,
        "sst5": 58.3,
        "sst2": 94.8,
    },
    "ELECTRA-base, LCL": {
        "system": "lcl",
        "empathetic_dialogues": 57.7,
        "goemotions": 64.1,
        "emoint": 34.2,
        "sst5": 57.1,
        "sst2": 94.8,
        "ag_news": 94.7,
        "tsa": 85.7,
        "parsinlu": 76.0,
    },
}


@dataclass
class PaperArguments:
    """Which runs, and how much of each."""

    results: Path = field(metadata={"help": "JSON lines of finished runs; grows with each."})
    systems: list[str] = field(default_factory=lambda: ["ce", "scl", "lcl"], metadata={"help": "Rows of the table."})
    datasets: list[str] = field(default_factory=lambda: ["sst5"], metadata={"help": "Columns: names of recipes."})
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "Runs of each."})
    encoder: str = field(
        default="google/electra-base-discriminator", metadata={"help": "Hub id or folder of the pretrained encoder."}
    )
    encoder_name: str | None = field(
        default=None, metadata={"help": "What the results call it; its last name if not."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; else the Hub."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on so many texts, drawn at random."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    num_train_epochs: float = field(default=5.0, metadata={"help": "Epochs of pretrained encoders."})
    learning_rate: float = field(default=2e-5, metadata={"help": "Learning rate of pretrained encoders."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Texts in a batch."})
    bf16: bool = field(default=False, metadata={"help": "Compute in bfloat16 where it is safe."})
    table: Path | None = field(default=None, metadata={"help": "Write the table there, and run nothing."})

    def __post_init__(self):
        for name, known in (("systems", SYSTEMS), ("datasets", recipe_names())):
            unknown = set(getattr(self, name)) - set(known)
            if unknown:
                raise ValueError(f"--{name} {' '.join(sorted(unknown))} is unknown: use some of {', '.join(known)}.")
        self.encoder_name = self.encoder_name or Path(self.encoder).name


def main(argv: list[str] | None = None) -> None:
    (args,) = parse_arguments((PaperArguments,), argv)
    ledger = Ledger(args.results)
    if args.table is None:
        planned = [
            (dataset, settings_of(args, system, dataset, seed))
            for seed in args.seeds
            for dataset in args.datasets
            for system in args.systems
        ]
        for dataset, settings in (progress := tqdm([run for run in planned if run[1] not in ledger], desc="runs")):
            progress.set_postfix_str(f"{settings['system']} on {dataset}, seed {settings['seed']}")
            ledger.add(settings, run(args, settings))
    table = markdown(ledger.runs())
    if args.table is not None:
        args.table.write_text(table, encoding="utf-8")
    print(table)


def settings_of(args: PaperArguments, name: str, dataset: str, seed: int) -> dict[str, Any]:
    """What makes a run this one and no other."""
    system = SYSTEMS[name]
    training = {
        "num_train_epochs": args.num_train_epochs,
        "learning_rate": args.learning_rate,
        "per_device_train_batch_size": args.per_device_train_batch_size,
        "bf16": args.bf16,
        **system.training,
    }
    return {
        "system": name,
        "dataset": dataset,
        "seed": seed,
        "encoder": system.baseline or args.encoder_name,
        "max_train_samples": args.max_train_samples,
        "max_seq_length": args.max_seq_length,
        "model": system.model,
        "training": training,
    }


def run(args: PaperArguments, settings: dict[str, Any]) -> dict[str, Any]:
    """Trains and tests once."""
    splits, _ = load_recipe(settings["dataset"], data_dir=args.data_dir)
    if args.max_train_samples is not None:
        chosen = splits["train"].shuffle(seed=settings["seed"])
        splits["train"] = chosen.select(range(min(args.max_train_samples, len(chosen))))
    data = {name: {"rows": len(split), "fingerprint": fingerprint(split)} for name, split in splits.items()}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        metrics = train_and_test(args, settings, splits, Path(folder))
    return {
        "metrics": {name: round(metrics[f"test_{name}"], 4) for name in ("accuracy", "macro_f1", "weighted_f1")},
        "seconds": round(time.perf_counter() - start, 1),
        "data": data,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPUs",
        "versions": {name: version(name) for name in ("hf_lcl", "torch", "transformers")},
    }


def train_and_test(
    args: PaperArguments, settings: dict[str, Any], splits: DatasetDict, folder: Path
) -> dict[str, float]:
    """The metrics on the test set after the last epoch."""
    encoder, baseline = args.encoder, SYSTEMS[settings["system"]].baseline
    set_seed(settings["seed"])
    if baseline is not None:
        encoder = str(folder / baseline)
        build_baseline(baseline, splits["train"]["text"], encoder)
    splits, names = encode_labels(splits)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    splits = tokenize_texts(splits, tokenizer, max_length=settings["max_seq_length"])
    training = ContrastiveTrainingArguments(
        str(folder / "run"),
        seed=settings["seed"],
        per_device_eval_batch_size=64,
        warmup_steps=0.1,
        save_strategy="no",
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        **settings["training"],
    )
    model = LCLForSequenceClassification.from_encoder(
        encoder,
        id2label=dict(enumerate(names)),
        **{"weighting": "head" if training.objective == "lcl" else "none"} | settings["model"],
    )
    trainer = ContrastiveTrainer(
        model,
        training,
        train_dataset=splits["train"],
        processing_class=tokenizer,
        compute_metrics=classification_metrics,
    )
    trainer.train()
    return trainer.evaluate(splits["test"], metric_key_prefix="test")


def markdown(runs: list[dict[str, Any]]) -> str:
    """Rows are systems, columns data sets: our mean and deviation over the seeds, beside the printed figures."""
    cells: dict[tuple, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for finished in runs:
        settings = finished["settings"]
        row = (settings["system"], settings["encoder"], settings["max_train_samples"])
        cells[row][settings["dataset"]].append(100 * finished["metrics"]["accuracy"])
    columns = [name for name in recipe_names() if any(name in row for row in [*cells.values(), *PRINTED.values()])]
    lines = [
        "Accuracy on the test sets, in percent: mean ± standard deviation over seeds (number of runs).",
        "",
        f"| system | encoder | training texts | {' | '.join(columns)} |",
        "|---|---|---|" + "---:|" * len(columns),
    ]
    order = list(SYSTEMS)
    for row in sorted(cells, key=lambda row: (order.index(row[0]), row[1], row[2] or 0)):
        figures = [_figure(cells[row].get(column, [])) for column in columns]
        lines.append(f"| {row[0]} | {row[1]} | {row[2] or 'all'} | {' | '.join(figures)} |")
    for label, row in PRINTED.items():
        figures = [f"{row[column]:.1f}" if column in row else "" for column in columns]
        lines.append(f"| {row['system']} | {label}, as printed | all | {' | '.join(figures)} |")
    return "\n".join([*lines, ""])


def _figure(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread} ({len(values)})"


if __name__ == "__main__":
    with one_line_errors():
        main()
