#!/usr/bin/env python
"""
When should a training stop, which iterates should its weights be the mean of, and which head should it keep? One
training answers for all stops, means and heads at once: it is looked at while it runs. See `study.trajectory`.

    python examples/benchmarks/trajectories.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results trajectories.jsonl
    python examples/benchmarks/trajectories.py --encoder ... --results trajectories.jsonl --list     # what is open
    python examples/benchmarks/trajectories.py --encoder ... --results trajectories.jsonl --table    # trajectories.md

Each seed has other texts to learn from. A system is judged by texts that it has not learned from: of the validation
set and the rest of the training set, each class by its share. No text of a test set is read. The names
of the classes are texts for all: of the head start, as in the library, or of the training set of those without one.
The others are logistic regression on the frozen encoder with and without names, the `Trainer` with four learning
rates, and sentence-transformers with logistic regression.

A finished run is one line of the results; a rerun skips it. Several processes may work on one file.
"""

import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets
from environment import check_known, machine, versions
from filelock import FileLock, Timeout
from study.cells import CELLS, Task, draw_cell
from study.choice import markdown
from study.rivals import RIVALS, encode, sentence_encoder
from study.systems import SYSTEMS as OF_ACCURACY
from study.systems import System, fit_trainer
from study.trajectory import Reader, Refit, Trajectory, epoch_losses, judge, scores, stops
from transformers.trainer_utils import IntervalStrategy
from transformers.utils import logging

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.fingerprint import fingerprint
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.training.start import names_as_texts


LEARNING_RATES = ("5e-5", "1e-4", "2e-4", "5e-4")
OURS = {name: OF_ACCURACY[name] for name in ("lcl", "ce", "scl")}
# All cells by the first ones, then all by the next ones.
ROUNDS = (
    ("lcl", "ce", "frozen"),
    tuple(f"trainer {rate}" for rate in LEARNING_RATES),
    ("sentence-transformers", "scl"),
)
SYSTEMS = tuple(system for systems in ROUNDS for system in systems)
# The cheapest first.
CHOOSING = (
    "emoint, 16 each",
    "goemotions, 16 each",
    "banking77, 5 each",
    "empathetic_dialogues, 8 each",
    "clinc150, 10 each",
    "empathetic_dialogues, 64 each",
)


@dataclass
class Settings:
    """Which runs, and on what."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished runs; the table gets the same name."})
    encoder_name: str | None = field(
        default=None, metadata={"help": "What the results call it; its last name if not."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; else the Hub."})
    cells: list[str] = field(default_factory=lambda: list(CHOOSING), metadata={"help": "Data and budgets, by name."})
    systems: list[str] = field(default_factory=lambda: list(SYSTEMS), metadata={"help": "Systems, by name."})
    seeds: list[int] = field(default_factory=lambda: [10, 11, 12], metadata={"help": "Runs of each."})
    held_out: int = field(default=1000, metadata={"help": "Texts to be judged by."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    list: bool = field(default=False, metadata={"help": "Print the runs that are open, and run nothing."})
    table: bool = field(default=False, metadata={"help": "Write the table, and run nothing."})

    def __post_init__(self):
        few_shot = [name for name, cell in CELLS.items() if cell.is_few_shot]
        check_known("cells", self.cells, few_shot, shown=repr)
        check_known("systems", self.systems, SYSTEMS, shown=repr)
        self.encoder_name = self.encoder_name or Path(self.encoder).name


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    logging.set_verbosity_error()
    if settings.table:
        table = markdown(Ledger(settings.results).runs(), settings.cells)
        settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
        print(table)
        return
    for seed, systems, cell in product(settings.seeds, ROUNDS, settings.cells):
        for system in systems:
            if system in settings.systems:
                run_once(settings, cell, system, seed)


def run_once(settings: Settings, cell: str, system: str, seed: int) -> None:
    """Runs and writes, unless another process does or has done so."""
    run = {
        "cell": cell,
        "system": system,
        "seed": seed,
        "encoder": settings.encoder_name,
        "held_out": settings.held_out,
        "max_seq_length": settings.max_seq_length,
        "budget": CELLS[cell].budget,
    }
    key = hashlib.sha256((str(settings.results.resolve()) + json.dumps(run, sort_keys=True)).encode()).hexdigest()
    try:
        # The lock goes with the process that holds it, however that ends.
        with FileLock(Path(tempfile.gettempdir()) / f"trajectories-{key[:16]}.lock").acquire(blocking=False):
            ledger = Ledger(settings.results)
            if run in ledger:
                return
            print(f"{time.strftime('%H:%M:%S')} {system} on {cell}, seed {seed}", flush=True)
            if not settings.list:
                ledger.add(run, result(settings, cell, system, seed))
    except Timeout:
        return


def result(settings: Settings, cell: str, system: str, seed: int) -> dict[str, Any]:
    """Learns once, and is judged on the way or at the end."""
    splits = draw_cell(CELLS[cell], settings.data_dir, seed, settings.held_out)
    task = Task(settings.encoder, CELLS[cell], splits, seed, bf16=False, max_seq_length=settings.max_seq_length)
    start, cpu_start = time.perf_counter(), time.process_time()
    if system == "frozen":
        judged = judge_frozen(task)
    elif system == "sentence-transformers":
        judged = judge_predictions(with_names(task), RIVALS[system])
    else:
        judged = judge_trajectory(task, system)
    return {
        **judged,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu_start, 1),
        "texts": {name: len(splits[name]) for name in ("train", "test")},
        "fingerprints": {name: fingerprint(splits[name]) for name in ("train", "test")},
        "load": round(os.getloadavg()[0], 1),
        "machine": machine(),
        "versions": versions("scikit-learn", "sentence-transformers"),
    }


def with_names(task: Task) -> Task:
    """The names of the classes among the training texts, for those who do not read them otherwise."""
    train = task.splits["train"]
    names = {"text": [name.replace("_", " ") for name in task.names], "label": list(range(len(task.names)))}
    more = concatenate_datasets([train, Dataset.from_dict(names, features=train.features)])
    return replace(task, splits=DatasetDict(task.splits | {"train": more}))


def judge_frozen(task: Task) -> dict[str, Any]:
    """Logistic regression on the mean embeddings of the encoder as it is, its penalty chosen by likelihood."""
    encoder = sentence_encoder(task)
    labels = np.array(task.splits["test"]["label"][:])
    features = encode(encoder, task.splits["test"])
    judged = {}
    for name, texts in (("without names", task), ("with names", with_names(task))):
        train = texts.splits["train"]
        refit = Refit(encode(encoder, train), np.array(train["label"][:]))
        penalty = refit.chosen()
        judged[name] = {"penalty": str(penalty), "end": scores(refit.logits(features, penalty), labels)}
    return {"end": judged["with names"]["end"], "details": judged}


def judge_predictions(task: Task, system: System) -> dict[str, Any]:
    """A system that gives classes alone: accuracy, and no likelihood."""
    start = time.process_time()
    fitted = system.fit(task, **system.options)
    seconds = time.process_time() - start
    labels = np.array(task.splits["test"]["label"][:])
    accuracy = float((fitted.predict("test") == labels).mean())
    return {"end": [round(accuracy, 4), None], "steps": fitted.steps, "training_seconds": round(seconds, 1)}


def judge_trajectory(task: Task, system: str) -> dict[str, Any]:
    """A training that is looked at on its way; the `Trainer`'s at its end alone."""
    is_ours = system in OURS
    is_contrastive = system in ("lcl", "scl")
    epochs = task.cell.epochs
    # What holds for contrast is to be found out: it is looked at more often.
    shares = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0) if is_contrastive else (0.2, 0.3, 0.5, 1.0)
    seen: dict[str, Any] = {}

    def follow(trainer: Any, tokens: DatasetDict) -> None:
        classifier = trainer.model.native if is_ours else trainer.model
        tokenizer = trainer.processing_class
        names = names_as_texts(dict(enumerate(task.names)), tokenizer) if is_ours else []
        train, held_out = Reader(tokenizer, [*tokens["train"], *names]), Reader(tokenizer, tokens["test"])
        trajectory = Trajectory(
            classifier,
            lambda: judge(classifier, train, held_out),
            [epochs],
            stops(epochs, shares) if is_ours else [],
        )
        trainer.args.logging_strategy = IntervalStrategy.EPOCH
        trainer.add_callback(trajectory)
        seen.update(trainer=trainer, trajectory=trajectory)

    task = replace(task, follow=follow)
    start = time.process_time()
    if is_ours:
        OURS[system].fit(task, **OURS[system].options)
    else:
        rate = float(system.removeprefix("trainer "))
        fit_trainer(with_names(replace(task, cell=replace(task.cell, learning_rate=rate))))
    seconds = time.process_time() - start
    trainer, trajectory = seen["trainer"], seen["trajectory"]
    end = next(point["trained"] for point in reversed(trajectory.points) if point["weights"] == "iterate")
    return {
        "end": end,
        "losses": epoch_losses(trainer.state.log_history, len(task.names)),
        "points": trajectory.points,
        "steps": trainer.state.global_step,
        "training_seconds": round(seconds - trajectory.looking_seconds, 1),
    }


if __name__ == "__main__":
    with one_line_errors():
        main()
