#!/usr/bin/env python
"""
When should a training stop, should it average its weights, and which head should it keep? All stopping points, means
of weights and heads are evaluated during a single training. See `study.trajectory`.

    python examples/benchmarks/trajectories.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results trajectories.jsonl
    python examples/benchmarks/trajectories.py --encoder ... --results trajectories.jsonl --list     # open runs
    python examples/benchmarks/trajectories.py --encoder ... --results trajectories.jsonl --table    # trajectories.md

Each seed draws different training texts. Systems are evaluated on held-out texts from the validation set and the
unused training texts, stratified by class. Test sets are not used. All systems learn from the class names as texts:
in the head start, as in the library, or in the training set of systems without one. The other systems are logistic
regression on the frozen encoder with and without names, the `Trainer` with four learning rates, and
sentence-transformers with logistic regression.

A finished run is one line of the results; a rerun skips it. Several processes may share one file.
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
from datasets import DatasetDict
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
from hf_lcl.training.names import names_as_texts


LEARNING_RATES = ("5e-5", "1e-4", "2e-4", "5e-4")
OURS = {name: OF_ACCURACY[name] for name in ("lcl", "ce", "scl")}
# The systems of each round run on all cells before the next round starts.
ROUNDS = (
    ("lcl", "ce", "frozen"),
    tuple(f"trainer {rate}" for rate in LEARNING_RATES),
    ("sentence-transformers", "scl"),
)
SYSTEMS = tuple(system for systems in ROUNDS for system in systems)
# Cheapest first.
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
        default=None, metadata={"help": "Its name in the results; defaults to the last part of --encoder."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    cells: list[str] = field(default_factory=lambda: list(CHOOSING), metadata={"help": "Data and budgets, by name."})
    systems: list[str] = field(default_factory=lambda: list(SYSTEMS), metadata={"help": "Systems, by name."})
    seeds: list[int] = field(default_factory=lambda: [10, 11, 12], metadata={"help": "One run per seed."})
    held_out: int = field(default=1000, metadata={"help": "Number of held-out texts."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    list: bool = field(default=False, metadata={"help": "Print the runs that are not finished, and run nothing."})
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
    """Does a run and records it, if no other process is doing or has done it."""
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
        # The operating system releases the lock even if the process that holds it is killed.
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
    """Trains once, and evaluates during or after the training."""
    splits = draw_cell(CELLS[cell], settings.data_dir, seed, settings.held_out)
    task = Task(settings.encoder, CELLS[cell], splits, seed, bf16=False, max_seq_length=settings.max_seq_length)
    start, cpu_start = time.perf_counter(), time.process_time()
    if system == "frozen":
        judged = judge_frozen(task)
    elif system == "sentence-transformers":
        judged = judge_predictions(task.with_names(), RIVALS[system])
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


def judge_frozen(task: Task) -> dict[str, Any]:
    """Evaluates logistic regression on frozen embeddings, with the penalty chosen by likelihood."""
    encoder = sentence_encoder(task)
    labels = np.array(task.splits["test"]["label"][:])
    features = encode(encoder, task.splits["test"])
    judged = {}
    for name, texts in (("without names", task), ("with names", task.with_names())):
        train = texts.splits["train"]
        refit = Refit(encode(encoder, train), np.array(train["label"][:]))
        penalty = refit.chosen()
        judged[name] = {"penalty": str(penalty), "end": scores(refit.logits(features, penalty), labels)}
    return {"end": judged["with names"]["end"], "details": judged}


def judge_predictions(task: Task, system: System) -> dict[str, Any]:
    """Evaluates a system that predicts only classes: accuracy without likelihood."""
    start = time.process_time()
    fitted = system.fit(task, **system.options)
    seconds = time.process_time() - start
    labels = np.array(task.splits["test"]["label"][:])
    accuracy = float((fitted.predict("test") == labels).mean())
    return {"end": [round(accuracy, 4), None], "steps": fitted.steps, "training_seconds": round(seconds, 1)}


def judge_trajectory(task: Task, system: str) -> dict[str, Any]:
    """Evaluates our systems during a training, and the `Trainer` only at its end."""
    is_ours = system in OURS
    is_contrastive = system in ("lcl", "scl")
    epochs = task.cell.epochs
    # Contrastive objectives are what the study is about, and evaluated more often.
    shares = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0) if is_contrastive else (0.2, 0.3, 0.5, 1.0)
    seen: dict[str, Any] = {}

    def follow(trainer: Any, tokens: DatasetDict) -> None:
        classifier = trainer.model.native if is_ours else trainer.model
        tokenizer = trainer.processing_class
        names = names_as_texts(tokens["train"], dict(enumerate(task.names)), tokenizer) if is_ours else []
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
        fit_trainer(replace(task, cell=replace(task.cell, learning_rate=rate)), names_as_texts=True)
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
