#!/usr/bin/env python
"""
Does it matter which texts share a batch? Compares the test accuracy of the same training with each way of drawing
batches.

    python examples/benchmarks/batches.py --model_name_or_path sentence-transformers/all-MiniLM-L6-v2 \
        --recipes sst5 banking77 --seeds 0 1 2 --results batches.jsonl

A finished run is one line of the results; a rerun skips it. Prints the table of all runs, and writes it beside them.
"""

import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from environment import machine, versions
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
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.fingerprint import fingerprint
from hf_lcl.evaluation.ledger import Ledger


sys.path.append(str(Path(__file__).parents[1] / "paper"))  # the recipes of the data sets
from recipes import load_recipe


WAYS = {
    "random": {"sampler": "random"},
    "balanced": {"sampler": "balanced", "group_lengths": False},
    "balanced, by length": {"sampler": "balanced"},
}


@dataclass
class Settings:
    """Encoder, data and training."""

    model_name_or_path: str = field(metadata={"help": "Hub id or folder of the encoder."})
    recipes: list[str] = field(metadata={"help": "Data sets, by the names of their recipes."})
    results: Path = field(metadata={"help": "JSON lines of finished runs; the table gets the same name."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "One run per seed."})
    batches: list[str] = field(default_factory=lambda: list(WAYS), metadata={"help": "Ways to draw batches."})
    objective: str = field(default="scl", metadata={"help": "scl or lcl."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Largest number of training texts."})
    num_train_epochs: float = field(default=5, metadata={"help": "Epochs."})
    learning_rate: float = field(default=2e-4, metadata={"help": "Peak learning rate."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Texts in a batch."})
    bf16: bool = field(default=False, metadata={"help": "Use bfloat16 mixed precision."})

    def __post_init__(self):
        if unknown := [way for way in self.batches if way not in WAYS]:
            raise ValueError(f"batches={unknown} are not among {list(WAYS)}.")


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    training = {
        name: getattr(settings, name)
        for name in ("objective", "num_train_epochs", "learning_rate", "per_device_train_batch_size", "bf16")
    }
    planned = [
        {
            "encoder": Path(settings.model_name_or_path).name,
            "data": recipe,
            "max_train_samples": settings.max_train_samples,
            "batches": way,
            "seed": seed,
            "training": training,
        }
        for seed in settings.seeds
        for recipe in settings.recipes
        for way in settings.batches
    ]
    for run in tqdm([run for run in planned if run not in ledger], desc="runs"):
        ledger.add(run, result(settings, run))
    table = markdown(ledger.runs())
    settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def result(settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Trains and tests once."""
    splits, _ = load_recipe(run["data"], data_dir=settings.data_dir)
    train = splits["train"].shuffle(seed=run["seed"])
    splits["train"] = train.select(range(min(settings.max_train_samples or len(train), len(train))))
    data = {name: fingerprint(splits[name]) for name in ("train", "test")}
    splits, names = encode_labels(splits)
    tokenizer = AutoTokenizer.from_pretrained(settings.model_name_or_path)
    splits = tokenize_texts(splits, tokenizer, max_length=128)
    set_seed(run["seed"])
    model = LCLForSequenceClassification.from_encoder(
        settings.model_name_or_path,
        id2label=dict(enumerate(names)),
        weighting="head" if settings.objective == "lcl" else "none",
    )
    with tempfile.TemporaryDirectory() as folder:
        args = ContrastiveTrainingArguments(
            folder,
            seed=run["seed"],
            warmup_steps=0.1,
            per_device_eval_batch_size=64,
            save_strategy="no",
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            **run["training"],
            **WAYS[run["batches"]],
        )
        trainer = ContrastiveTrainer(
            model,
            args,
            train_dataset=splits["train"],
            processing_class=tokenizer,
            compute_metrics=classification_metrics,
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        metrics = trainer.evaluate(splits["test"], metric_key_prefix="test")
    return {
        "metrics": {name: round(metrics[f"test_{name}"], 4) for name in ("accuracy", "macro_f1")},
        "seconds": round(seconds, 1),
        "fingerprints": data,
        "machine": machine(),
        "versions": versions(),
    }


def markdown(runs: list[dict[str, Any]]) -> str:
    """
    A row for each way of drawing batches, including those of earlier versions, and a column for each encoder and data
    set: mean ± standard deviation over the seeds.
    """
    cells: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in WAYS}
    columns: dict[str, None] = {}
    for run in runs:
        at = run["settings"]
        texts = f", {at['max_train_samples']} texts" if at["max_train_samples"] else ""
        column = f"{at['encoder']}, {at['data']}{texts}"
        columns[column] = None
        cells.setdefault(at["batches"], defaultdict(list))[column].append(100 * run["metrics"]["accuracy"])
    lines = [
        "# Which texts share a batch",
        "",
        "Accuracy on the test set in percent: mean ± standard deviation over seeds (number of seeds).",
        "",
        f"| batches | {' | '.join(columns)} |",
        "|---|" + "---:|" * len(columns),
    ]
    for way, row in cells.items():
        figures = [_figure(row[column]) for column in columns]
        lines.append(f"| {way} | {' | '.join(figures)} |")
    return "\n".join([*lines, ""])


def _figure(values: list[float]) -> str:
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread} ({len(values)})" if values else ""


if __name__ == "__main__":
    with one_line_errors():
        main()
