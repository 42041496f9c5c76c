#!/usr/bin/env python
"""
Several labels per text: is a contrastive objective better than binary cross-entropy, and how much do thresholds help?
Data: GoEmotions with its 28 labels, any number of them per text; and BANKING77 with the words that its intent names
share as tags, like those of support tickets.

    python examples/benchmarks/several_labels.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results examples/results/several_labels.jsonl

Every system is tested with a threshold of 0.5 for each label, and with thresholds that are chosen on validation
texts: on as many as there are training texts, and on all of them. Validation texts have no other use. `trainer-bce`
is transformers' own `Trainer`, `frozen` one logistic regression per label on frozen embeddings. A finished run is one
line of the results; a rerun skips it. The table is written beside them.
"""

import tempfile
import time
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from unittest.mock import patch

import numpy as np
from datasets import DatasetDict
from environment import check_known, listed, machine, versions
from scipy.special import logit
from several_labels_data import DATA, load
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from study.cells import Cell, Task
from study.frozen import frozen_embeddings
from study.systems import START, budget, ours, tokenized, train_ours
from torch.nn.functional import logsigmoid
from tqdm import tqdm
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_lcl import LCLForSequenceClassification
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.fingerprint import fingerprint
from hf_lcl.evaluation.inference import run_model
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.evaluation.metrics import classification_metrics
from hf_lcl.evaluation.thresholds import best_cuts


# The fewer texts, the more epochs. `texts` draws texts with the label frequencies of the data set.
CELLS: dict[str, dict[str, Any]] = {
    "16 of each label": {"per_label": 16, "epochs": 20},
    "5,000 texts": {"texts": 5000, "epochs": 3},
    "all texts": {"epochs": 3},
    "16 of each tag": {"data": "banking77", "per_label": 16, "epochs": 20},
}
SYSTEMS: dict[str, dict[str, Any] | None] = {
    "frozen": None,
    "trainer-bce": {},
    "bce-start": ours(objective="ce", **START).options,
    "scl": ours(objective="scl", **START).options,
    "lcl": ours(objective="lcl", **START).options,
}
# Run only if --systems names them: SetFit, with 40 pairs of each text, and variants with one change.
OTHERS: dict[str, dict[str, Any] | None] = {
    "setfit": {"num_iterations": 20},
    "lcl-sigmoid": SYSTEMS["lcl"],  # label weights are sigmoids, instead of a softmax over the labels
    "lcl, alpha 0.9": ours(objective="lcl", **START | {"alpha": 0.9}).options,
    "scl, alpha 0.9": ours(objective="scl", **START | {"alpha": 0.9}).options,
    "lcl, balanced": ours(objective="lcl", **START | {"class_weights": "balanced"}).options,
}
ALL_SYSTEMS = SYSTEMS | OTHERS
METRICS = ("macro_f1", "micro_f1", "mean_average_precision")


@dataclass
class Settings:
    """Encoder, data and runs."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished runs; the table gets the same name."})
    data_dir: Path = field(metadata={"help": "Folder of the data sets."})
    encoder_name: str = field(default="all-MiniLM-L6-v2", metadata={"help": "Its name in the results."})
    cells: list[str] = field(default_factory=lambda: [*CELLS][:1], metadata={"help": "Training texts, by name."})
    systems: list[str] = field(default_factory=lambda: list(SYSTEMS), metadata={"help": "Systems, by name."})
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "One run per seed."})
    test: int = field(default=1500, metadata={"help": "Texts to use of the test set."})
    validation: int = field(default=750, metadata={"help": "Texts to use of the validation set."})
    epochs: int | None = field(default=None, metadata={"help": "Epochs; defaults to those of the cell."})

    def __post_init__(self):
        check_known("cells", self.cells, CELLS)
        check_known("systems", self.systems, ALL_SYSTEMS)


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    planned = [
        {
            **{"cell": cell, "system": system, "seed": seed, "encoder": settings.encoder_name},
            **CELLS[cell] | ({} if settings.epochs is None else {"epochs": settings.epochs}),
            **{"test": settings.test, "validation": settings.validation, "options": ALL_SYSTEMS[system]},
        }
        for cell in settings.cells
        for seed in settings.seeds
        for system in settings.systems
    ]
    for run in (progress := tqdm([run for run in planned if run not in ledger], desc="runs")):
        progress.set_postfix_str(f"{run['system']} on {run['cell']}, seed {run['seed']}")
        ledger.add(run, result(settings, run))
    write_table(settings.results, ledger.runs())


def result(settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Trains, and tests with each kind of thresholds."""
    splits, names = load(settings.data_dir, run)
    cell = Cell(DATA, run["epochs"], 1e-4)
    task = SeveralLabels(settings.encoder, cell, splits, run["seed"], bf16=False, max_seq_length=64, classes=names)
    start = time.perf_counter()
    logits = FITS.get(run["system"], fit_ours)(task, run)
    seconds = time.perf_counter() - start
    labels = {name: np.array(splits[name]["label"][:]) for name in splits}
    as_many = min(len(splits["train"]), len(splits["validation"]))
    cuts = {
        "0.5": np.zeros(len(names)),
        "few": best_cuts(logits["validation"][:as_many], labels["validation"][:as_many]),
        "all": best_cuts(logits["validation"], labels["validation"]),
    }
    scores = {
        name: classification_metrics(EvalPrediction(logits["test"] - cut, labels["test"]))
        for name, cut in cuts.items()
    }
    return {
        "scores": {name: {key: round(value, 4) for key, value in found.items()} for name, found in scores.items()},
        "seconds": round(seconds, 1),  # includes predicting the held-out texts
        "texts": {name: len(split) for name, split in splits.items()},
        "fingerprints": {name: fingerprint(split) for name, split in splits.items()},
        "machine": machine(),
        "versions": versions(),
    }


Logits = dict[str, np.ndarray]


def fit_ours(task: Task, run: dict[str, Any]) -> Logits:
    """Trains with `ContrastiveTrainer`."""
    with weights_of(run["system"]):
        trainer, tokens = train_ours(task, **run["options"])
    return logits_of(trainer.model, tokens, trainer.processing_class)


def weights_of(system: str) -> AbstractContextManager[Any]:
    """Sets the label weights of the label-aware loss: those of the library, or sigmoids for `lcl-sigmoid`."""
    sigmoid = patch("hf_lcl.losses.functional._log_weights", logsigmoid)
    return sigmoid if system == "lcl-sigmoid" else nullcontext()


def fit_trainer(task: Task, run: dict[str, Any]) -> Logits:
    """Trains with transformers' `Trainer` and binary cross-entropy."""
    tokenizer, tokens = tokenized(task)
    set_seed(task.seed)
    problem = {"num_labels": len(task.names), "problem_type": "multi_label_classification"}
    classifier = AutoModelForSequenceClassification.from_pretrained(task.encoder, **problem)
    collator = DataCollatorWithPadding(tokenizer)
    Trainer(classifier, TrainingArguments(**budget(task)), collator, tokens["train"]).train()
    return logits_of(LCLForSequenceClassification.from_native(classifier, weighting="none"), tokens, tokenizer)


def fit_frozen(task: Task, run: dict[str, Any]) -> Logits:
    """Fits one-vs-rest logistic regressions to frozen embeddings."""
    tokenizer, tokens = tokenized(task)
    units = frozen_embeddings(task.encoder, tokens, tokenizer)
    regression = OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000))
    regression.fit(units["train"], np.array(task.splits["train"]["label"][:]).astype(int))
    return {name: regression.decision_function(units[name]) for name in ("validation", "test")}


def fit_setfit(task: Task, run: dict[str, Any]) -> Logits:
    """Trains SetFit with its defaults and one-vs-rest logistic regressions (extra `bench`)."""
    from setfit import SetFitModel
    from setfit import Trainer as SetFitTrainer
    from setfit import TrainingArguments as SetFitArguments

    set_seed(task.seed)
    model = SetFitModel.from_pretrained(task.encoder, multi_target_strategy="one-vs-rest", device="cpu")
    args = SetFitArguments(
        tempfile.mkdtemp(), max_length=task.max_seq_length, seed=task.seed, save_strategy="no", **run["options"]
    )
    SetFitTrainer(model, args, train_dataset=task.splits["train"]).train()
    texts = {name: task.splits[name]["text"][:] for name in ("validation", "test")}
    return {name: logit(model.predict_proba(own, as_numpy=True).clip(1e-7, 1 - 1e-7)) for name, own in texts.items()}


FITS = {"frozen": fit_frozen, "trainer-bce": fit_trainer, "setfit": fit_setfit}


@dataclass(frozen=True)
class SeveralLabels(Task):
    """A task with indicator rows as labels; class names are given apart, since indicator rows do not hold them."""

    classes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The classes by id."""
        return self.classes


def logits_of(model: LCLForSequenceClassification, tokens: DatasetDict, tokenizer: Any) -> Logits:
    """The logits of the held-out texts."""
    held_out = ("validation", "test")
    return {
        name: run_model(model, tokens[name], tokenizer, batch_size=64, description=name).logits for name in held_out
    }


def write_table(path: Path, runs: list[dict[str, Any]]) -> None:
    """Writes a table of means over seeds, in percent, with standard deviations for three or more."""
    lines = ["# Several labels per text", ""]
    lines += [
        f"GoEmotions with all its labels (28 with `neutral`), and BANKING77 with the words that the names of intents "
        f"share as tags (19), {runs[0]['settings']['encoder']}; texts of the test and of the validation set, drawn "
        "with the shares of the labels. Percent, mean of the seeds (± standard deviation of three or more). Cuts: "
        "0.5; chosen on as many validation texts as there are training texts (`few`); on all of those that are read "
        "(`all`). Mean average precision needs no threshold. Rows that differ in epochs or numbers of texts "
        "cannot be compared.",
        "",
        "| training texts | epochs | validation, test | system | seeds | macro F1 at 0.5 | few | all "
        "| micro F1 at 0.5 | few | all | mAP | seconds |",
        "|---|---:|---:|---|---|" + "---:|" * 8,
    ]
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        at, cell = run["settings"], [*CELLS].index(run["settings"]["cell"])
        rows[cell, -at["epochs"], at["validation"], at["test"], [*ALL_SYSTEMS].index(at["system"])].append(run)
    for (_, epochs, validation, test, _), own in sorted(rows.items(), key=lambda row: row[0]):
        at, seeds = own[0]["settings"], ", ".join(str(run["settings"]["seed"]) for run in own)
        cells = " | ".join(cells_of(own))
        told = f"| {at['cell']} | {-epochs} | {validation:,}, {test:,} | {at['system']} | {seeds} | {cells} |"
        lines.append(told)
    not_run = [f"training on {cell}" for cell in CELLS if all(run["settings"]["cell"] != cell for run in runs)]
    not_run += [each for each in ALL_SYSTEMS if all(run["settings"]["system"] != each for run in runs)]
    not_run += ["Jaccard-weighted positives"]
    lines += ["", f"Not run: {'; '.join(not_run)}.", ""]
    at = runs[0]
    lines += [f"{at['machine']['device']}; {listed(at['versions'])}.", ""]
    path.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")


def cells_of(runs: list[dict[str, Any]]) -> list[str]:
    """The figures of a row."""
    figures = [[run["scores"][cut][name] for run in runs] for name in METRICS[:2] for cut in ("0.5", "few", "all")]
    figures.append([run["scores"]["0.5"][METRICS[2]] for run in runs])
    shown = [
        f"{100 * mean(values):.1f}" + (f" ± {100 * stdev(values):.1f}" if len(values) > 2 else "")
        for values in figures
    ]
    return [*shown, f"{mean(run['seconds'] for run in runs):.0f}"]


if __name__ == "__main__":
    with one_line_errors():
        main()
