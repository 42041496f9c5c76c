#!/usr/bin/env python
"""
Runs every system of the two papers on each of their data sets:

    python examples/paper/reproduce_paper.py --systems ce scl lcl --datasets sst5 emoint --seeds 0 1 2 \
        --encoder google/electra-base-discriminator --results paper.jsonl
    python examples/paper/reproduce_paper.py --results paper.jsonl --table paper.md

A finished run is one line of the results, and is not run again; an interrupted run is. `--table` runs nothing: it
prints the finished runs beside the figures of the papers. `--max_train_samples` makes a run fit a laptop.
"""

import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import build_baseline
from datasets import DatasetDict
from paper_objective import PaperObjective
from paper_systems import SYSTEMS
from paper_tables import markdown
from recipes import load_recipe, recipe_names
from tqdm import tqdm
from transformers import AutoTokenizer, set_seed
from word_dropout import drop_words

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    classification_metrics,
    encode_labels,
    tokenize_texts,
)
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.fingerprint import fingerprint
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.hub.run_facts import describe_hardware, package_versions
from hf_lcl.losses import Objective


METRICS = ("accuracy", "macro_f1", "weighted_f1")


class PaperTrainer(ContrastiveTrainer):
    """Trains with a published formula that hf_lcl has no argument for."""

    def __init__(self, *args: Any, formula: dict[str, Any], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._formula = formula

    def make_objective(self) -> Objective:
        return PaperObjective(**vars(super().make_objective()), **self._formula)


@dataclass
class PaperArguments:
    """Which runs, and how much of each."""

    results: Path = field(metadata={"help": "JSON lines of finished runs; grows with each."})
    systems: list[str] = field(default_factory=lambda: ["ce", "scl", "lcl"], metadata={"help": "Rows of the table."})
    datasets: list[str] = field(default_factory=lambda: ["sst5"], metadata={"help": "Columns: names of recipes."})
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "One run per seed."})
    encoder: str = field(
        default="google/electra-base-discriminator", metadata={"help": "Hub id or folder of the pretrained encoder."}
    )
    encoder_name: str | None = field(
        default=None, metadata={"help": "Its name in the results; defaults to the last part of --encoder."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on this many random texts."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    num_train_epochs: float = field(default=5.0, metadata={"help": "Epochs of pretrained encoders."})
    learning_rate: float = field(default=2e-5, metadata={"help": "Learning rate of pretrained encoders."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Texts in a batch."})
    bf16: bool = field(default=False, metadata={"help": "Use bfloat16 mixed precision."})
    table: Path | None = field(default=None, metadata={"help": "Write the table to this file, and run nothing."})

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
    """The settings that identify a run."""
    system = SYSTEMS[name]
    training = {
        "num_train_epochs": args.num_train_epochs,
        "learning_rate": args.learning_rate,
        "per_device_train_batch_size": args.per_device_train_batch_size,
        "warmup_steps": 0.1,
        "bf16": args.bf16,
        **system.training,
    }
    settings = {
        "system": name,
        "dataset": dataset,
        "seed": seed,
        "encoder": system.baseline or args.encoder_name,
        "max_train_samples": args.max_train_samples,
        "max_seq_length": args.max_seq_length,
        "model": system.model,
        "training": training,
    }
    return settings | ({"formula": system.formula} if system.formula else {})


def run(args: PaperArguments, settings: dict[str, Any]) -> dict[str, Any]:
    """Trains and tests once."""
    splits, _ = load_recipe(settings["dataset"], data_dir=args.data_dir)
    if args.max_train_samples is not None:
        chosen = splits["train"].shuffle(seed=settings["seed"])
        splits["train"] = chosen.select(range(min(args.max_train_samples, len(chosen))))
    data = {name: {"rows": len(split), "fingerprint": fingerprint(split)} for name, split in splits.items()}
    start, start_cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        metrics = train_and_test(args, settings, splits, Path(folder))
    return {
        "metrics": {name: round(metrics[f"test_{name}"], 4) for name in METRICS},
        "validation": {name: round(metrics[f"validation_{name}"], 4) for name in METRICS},
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - start_cpu, 1),  # more reliable on a busy machine
        "data": data,
        "device": describe_hardware(),
        "versions": package_versions(),
    }


def train_and_test(
    args: PaperArguments, settings: dict[str, Any], splits: DatasetDict, folder: Path
) -> dict[str, float]:
    """Returns the metrics on the test and the validation set after the last epoch."""
    encoder, baseline = args.encoder, SYSTEMS[settings["system"]].baseline
    set_seed(settings["seed"])
    if baseline is not None:
        encoder = str(folder / baseline)
        build_baseline(baseline, splits["train"]["text"], encoder, seed=settings["seed"])
    splits, names = encode_labels(splits)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    has_views = settings["training"]["num_views"] > 1
    second_view = partial(drop_words, seed=settings["seed"]) if has_views else None
    splits = tokenize_texts(splits, tokenizer, max_length=settings["max_seq_length"], view_function=second_view)
    for name in ("validation", "test"):
        lengths = [len(ids) for ids in splits[name]["input_ids"]]
        splits[name] = splits[name].select(np.argsort(lengths, kind="stable"))  # half the padding, half the time
    training = ContrastiveTrainingArguments(
        str(folder / "run"),
        seed=settings["seed"],
        per_device_eval_batch_size=64,
        save_strategy="no",
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        **settings["training"],
    )
    model = LCLForSequenceClassification.from_encoder(encoder, id2label=dict(enumerate(names)), **settings["model"])
    trainer = PaperTrainer(
        model,
        training,
        formula=settings.get("formula", {}),
        train_dataset=splits["train"],
        processing_class=tokenizer,
        compute_metrics=classification_metrics,
    )
    trainer.train()
    tested, validated = (trainer.evaluate(splits[name], metric_key_prefix=name) for name in ("test", "validation"))
    return tested | validated


if __name__ == "__main__":
    with one_line_errors():
        main()
