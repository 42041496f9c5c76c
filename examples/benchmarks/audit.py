#!/usr/bin/env python
"""
Are wrong labels found, and does `next` choose better texts than a random draw? Labels of real data are flipped (to the
nearest class, or to any other). `hf_lcl.evaluation.audit` and cleanlab rank them by the same out-of-fold
probabilities, those of a logistic regression on frozen embeddings; so do classifiers that are fine-tuned out of fold.
Then the worst are dropped or corrected. The CPU seconds of `hf-lcl audit` are measured by stage.

    python examples/benchmarks/audit.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results examples/results/audit.jsonl

A finished run is one line of the results; a rerun skips it. The tables are printed and written beside them. Needs
cleanlab (pip install "hf_lcl[bench]") and, for the comparison of searches, faiss-cpu.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import audit_fine_tuned
import audit_next
import numpy as np
from audit_flips import NOISE, Data, figures, flip, load, margins, positive
from audit_large import LARGE, measure_large
from audit_tables import markdown
from audit_time import time_audit
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from environment import machine, versions
from tqdm import tqdm

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.evaluation.audit.findings import look_at
from hf_lcl.evaluation.audit.folds import out_of_fold
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.evaluation.relations import class_means


DATASETS = ("emoint", "banking77", "sst5", "clinc150")
CLEANLAB = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
TIMED = {"data": "banking77", "rows": 1500, "planted": 30}
KINDS = ("frozen", "next", "time", "fine-tuned", "again", "large")


@dataclass
class Settings:
    """Encoder and data."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished runs; the tables get the same name."})
    encoder_name: str | None = field(default=None, metadata={"help": "Its name in the tables; else its last part."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    datasets: list[str] = field(default_factory=lambda: [*DATASETS], metadata={"help": "Data sets, by recipe."})
    pools: list[str] = field(
        default_factory=lambda: [*audit_next.POOLS], metadata={"help": "Data sets for the choice of texts to label."}
    )
    again: list[str] = field(
        default_factory=lambda: ["banking77"], metadata={"help": "Data sets to fine-tune on after mending labels."}
    )
    kinds: list[str] = field(default_factory=lambda: [*KINDS], metadata={"help": f"Run kinds: {', '.join(KINDS)}."})
    noise: list[str] = field(default_factory=lambda: [*NOISE], metadata={"help": "What the labels are flipped to."})
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "Seeds of the flipped labels."})
    training_seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "Seeds of fine-tuning runs."})
    per_class: int = field(default=20, metadata={"help": "Texts per class, of data with 20 classes or more."})
    max_samples: int = field(default=2000, metadata={"help": "Texts of other data; also the limit per test set."})
    cache: Path = field(default=Path("audit_embeddings"), metadata={"help": "Folder of cached embeddings."})


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger, runs = Ledger(settings.results), plan(settings)
    todo = [run for kind in settings.kinds for run in runs[kind] if run not in ledger]
    for run in (progress := tqdm(todo, desc="runs")):
        told = ("data", "noise", "strategy", "objective", "mended", "large", "by", "planted", "seed")
        progress.set_postfix_str(", ".join(str(run[name]) for name in told if name in run))
        ledger.add(run, measure(settings, run) | {"machine": machine(), "versions": versions("cleanlab")})
    found = {kind: [ledger[run] for run in planned if run in ledger] for kind, planned in runs.items()}
    missing = [run for planned in runs.values() for run in planned if run not in ledger]
    table = markdown(settings.encoder_name or Path(settings.encoder).name, settings.results.name, found, missing)
    settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def plan(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The settings of all runs, by kind, the most informative ones first."""
    size = {name: getattr(settings, name) for name in ("per_class", "max_samples")}
    flipped, trained = (
        [
            {"data": data, "noise": noise, "seed": seed}
            for seed in seeds
            for noise in settings.noise
            for data in settings.datasets
        ]
        for seeds in (settings.seeds, settings.training_seeds)
    )
    training = size | audit_fine_tuned.TRAINING
    return {
        "frozen": [run | size for run in flipped],
        "next": [
            {"data": data, "strategy": strategy, "seed": seed} | size | audit_next.POOLS[data]
            for data in settings.pools
            for strategy in audit_next.STRATEGIES
            for seed in settings.seeds
        ],
        "time": [TIMED | {"seed": seed} for seed in settings.seeds],
        "fine-tuned": [
            run | {"objective": objective, "folds": audit_fine_tuned.FOLDS} | training
            for run in trained
            for objective in audit_fine_tuned.OBJECTIVES
        ],
        "again": [
            run | {"objective": "lcl", "mended": mended} | training
            for run in trained
            for mended in audit_fine_tuned.MENDED
            if run["data"] in settings.again and run["noise"] == NOISE[0]
        ],
        "large": LARGE,
    }


def measure(settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Does a run and returns its results."""
    if "large" in run:
        return measure_large(run, settings.encoder)
    if "planted" in run:
        return time_audit(run, settings.encoder, settings.data_dir)
    size = (run["per_class"], run["max_samples"])
    data = load(run["data"], settings.encoder, settings.data_dir, settings.cache, *size)
    if "mended" in run:
        return audit_fine_tuned.train_again(data, run, settings.encoder)
    if "objective" in run:
        return audit_fine_tuned.judge(data, run, settings.encoder)
    if "strategy" in run:
        return audit_next.label(data, run["strategy"], run["seed"])
    return find_errors(data, run["noise"], run["seed"])


def find_errors(data: Data, noise: str, seed: int) -> dict[str, Any]:
    """Precision at k and AUROC of each ranking, counts of the flags, and test accuracy after mending labels."""
    labels, texts = flip(data, noise, seed), data["train_texts"].tolist()
    is_wrong = labels != data["train_labels"]
    found = look_at(data["train_embeddings"], labels, texts)
    groups = np.unique(data["train_texts"], return_inverse=True)[1]
    probabilities = positive(out_of_fold(data["train_embeddings"], labels, groups))
    prior = partial(margins, probabilities, labels, class_means(probabilities, labels, probabilities.shape[1]))
    scores = {"ours": found.margins}
    scores |= {f"ours, prior of relations {power:g}": prior(power) for power in audit_fine_tuned.POWERS}
    scores |= {f"cleanlab {name}": -get_label_quality_scores(labels, probabilities, method=name) for name in CLEANLAB}
    flags = {"ours": found.flags["label?"], "cleanlab": find_label_issues(labels, probabilities, n_jobs=1)}
    worst = found.order[: is_wrong.sum()]
    corrected = labels.copy()
    corrected[worst] = found.suggested[worst]
    kept = np.setdiff1d(np.arange(len(labels)), worst)
    everything = np.arange(len(labels))
    trainings = {
        "as they are": (everything, labels),
        "worst dropped": (kept, labels),
        "worst corrected": (everything, corrected),
        "without errors": (everything, data["train_labels"]),
    }
    return {
        "texts": len(labels),
        "flipped": int(is_wrong.sum()),
        "rankings": {name: figures(is_wrong, score) for name, score in scores.items()},
        "flags": {
            name: {"number": int(flag.sum()), "right": int((flag & is_wrong).sum())} for name, flag in flags.items()
        },
        "accuracy": {name: audit_next.accuracy(data, rows, given) for name, (rows, given) in trainings.items()},
    }


if __name__ == "__main__":
    with one_line_errors():
        main()
