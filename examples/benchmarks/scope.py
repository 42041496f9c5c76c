#!/usr/bin/env python
"""
How well are out-of-scope texts detected after fine-tuning? Evaluates the scores of `hf_lcl.evaluation.scope` after
each way of training, and the class `out_of_scope` with a threshold that keeps 95 % of the validation texts.

    python examples/benchmarks/scope.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results scope.jsonl

Ten texts of each class are trained on. `clinc150` has its own out-of-scope texts; `banking77_oos` has 50 known
classes, `near` are texts of 27 other banking intents, `far` those of other domains. Only `ce-start-oos` and `lcl-oos`
train on out-of-scope texts: they learn a class of 100 from the validation sets. A finished run is one line of the
results; a rerun skips it. The table is written beside them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, concatenate_datasets
from environment import check_known, listed, machine, versions
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from study.cells import Cell, Task, few_of_each
from study.frozen import frozen_embeddings
from study.systems import START, ours, train_ours
from tqdm import tqdm
from transformers import AutoTokenizer

from hf_lcl import encode_labels, load_splits, tokenize_texts
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.fingerprint import fingerprint
from hf_lcl.evaluation.calibration import fit_temperature
from hf_lcl.evaluation.inference import ModelOutputs, run_model
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.evaluation.scope import Rule, scope_metrics, scope_scores


RULE = Rule("keep", 0.95)
OOS_TEXTS = 100  # of the out-of-scope class that some systems learn
# Epochs, for about 480 steps of 32 texts; out-of-scope files by split.
CELLS: dict[str, tuple[int, dict[str, list[str]]]] = {
    "banking77_oos": (31, {"test": ["oos_near", "oos_far"], "validation": ["oos_near", "oos_far"]}),
    "clinc150": (10, {"test": ["oos"], "validation": []}),
}
NO_START = {"distill_mean": False, "head_start": False}
SYSTEMS: dict[str, dict[str, Any] | None] = {
    "frozen": None,  # logistic regression on the encoder as it is
    "ce-start": ours(objective="ce", **START).options,
    "lcl": ours(objective="lcl", **START).options,
    "scl": ours(objective="scl", **START).options,
    "ce": ours(objective="ce", **NO_START).options,
    "ce-start-oos": ours(objective="ce", **START).options,
    "lcl-oos": ours(objective="lcl", **START).options,
}


@dataclass
class Settings:
    """Encoder, data and runs."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished runs; the table gets the same name."})
    data_dir: Path = field(metadata={"help": "Folder of the data sets."})
    encoder_name: str = field(default="all-MiniLM-L6-v2", metadata={"help": "Its name in the results."})
    cells: list[str] = field(default_factory=lambda: list(CELLS), metadata={"help": "Data sets, by name."})
    systems: list[str] = field(default_factory=lambda: list(SYSTEMS), metadata={"help": "Systems, by name."})
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "One run per seed."})
    per_class: int = field(default=10, metadata={"help": "Training texts of each class."})
    epochs: int | None = field(default=None, metadata={"help": "Epochs; defaults to those for about 480 steps."})

    def __post_init__(self):
        check_known("cells", self.cells, CELLS)
        check_known("systems", self.systems, SYSTEMS)


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    planned = [
        {
            **{"cell": cell, "system": system, "seed": seed, "encoder": settings.encoder_name},
            **{"per_class": settings.per_class, "epochs": settings.epochs or CELLS[cell][0]},
            "options": SYSTEMS[system],
        }
        for system in settings.systems
        for seed in settings.seeds
        for cell in settings.cells
        if not (system.endswith("-oos") and not CELLS[cell][1]["validation"])
    ]
    for run in (progress := tqdm([run for run in planned if run not in ledger], desc="runs")):
        progress.set_postfix_str(f"{run['system']} on {run['cell']}, seed {run['seed']}")
        ledger.add(run, result(settings, run))
    write_table(settings.results, ledger.runs())


def load(settings: Settings, run: dict[str, Any]) -> tuple[DatasetDict, DatasetDict]:
    """Loads texts with class ids, and out-of-scope texts by the names of their files."""
    folder, (_, oos) = settings.data_dir / run["cell"], CELLS[run["cell"]]
    draw = folder / f"train_{run['per_class']}.jsonl.gz"
    train = draw if draw.is_file() else folder / "train.jsonl.gz"
    files = {"train": train, "validation": folder / "validation.jsonl.gz", "test": folder / "test.jsonl.gz"}
    splits = encode_labels(load_splits(files, columns=["text", "label"]))[0].rename_column("labels", "label")
    splits["train"] = few_of_each(splits["train"], run["per_class"], run["seed"])
    paths = {f"{name}_{split}": folder / f"{name}_{split}.jsonl.gz" for split in oos for name in oos[split]}
    others = load_splits(paths, columns=["text"])
    return splits.filter(has_text), others.filter(has_text)


def has_text(row: dict[str, Any]) -> bool:
    """Whether the text is not empty; a few of BANKING77 are."""
    return bool((row["text"] or "").strip())


def result(settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Trains, and evaluates accuracy and the detection of out-of-scope texts."""
    splits, others = load(settings, run)
    names = splits["train"].features["label"].names
    learns_others = run["system"].endswith("-oos")
    if learns_others:
        splits["train"] = with_others(splits["train"], others, run["seed"])
    read = DatasetDict({**splits, **{name: rows for name, rows in others.items() if name.endswith("_test")}})
    if run["options"] is None:
        outputs = frozen(settings, read)
    else:
        cell = Cell(run["cell"], run["epochs"], 1e-4)
        task = Task(settings.encoder, cell, splits, run["seed"], bf16=False, max_seq_length=64)
        trainer, tokens = train_ours(task, **run["options"])
        tokenizer = trainer.processing_class
        tokens |= tokenize_texts(DatasetDict({name: read[name] for name in read if name not in splits}), tokenizer)
        outputs = {name: run_model(trainer.model, tokens[name], tokenizer, batch_size=64) for name in tokens}
    labels = {name: np.array(splits[name]["label"][:]) for name in splits}
    known = len(names)
    rows = labels["train"] < known
    trained = outputs["train"].embeddings[rows], labels["train"][rows]
    scores = {
        name: scope_scores(found.logits[:, :known], found.embeddings, trained) for name, found in outputs.items()
    }
    centres = np.stack([trained[0][trained[1] == label].mean(axis=0) for label in range(known)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    for name, found in outputs.items():
        # The score that a last linear layer could compute: the cosine to a class, times the norm of the embedding.
        scores[name]["linear_centroid"] = (found.embeddings @ centres.T).max(axis=1)
        if learns_others:
            scores[name]["learned_class"] = found.logits[:, :known].max(axis=1) - found.logits[:, known]
    strangers = [name for name in outputs if name.startswith("oos")]
    return {
        "accuracy": accuracy_score(labels["test"], outputs["test"].logits[:, :known].argmax(axis=1)),
        "scores": {
            name: {score: scope_metrics(scores["test"][score], scores[name][score]) for score in scores[name]}
            for name in strangers
        },
        "exported": exported(outputs, labels, known, strangers),
        "fingerprints": {name: fingerprint(splits[name]) for name in splits},
        "machine": machine(),
        "versions": versions(),
    }


def with_others(train: Dataset, others: DatasetDict, seed: int) -> Dataset:
    """Adds a class of out-of-scope texts from the validation sets to the training texts."""
    texts = concatenate_datasets([rows for name, rows in others.items() if name.endswith("_validation")])
    names = [*train.features["label"].names, "out_of_scope"]
    picked = texts.shuffle(seed=seed).select(range(OOS_TEXTS))
    labels = ClassLabel(names=names)
    picked = picked.add_column("label", [len(names) - 1] * OOS_TEXTS, feature=labels)
    return concatenate_datasets([train.cast_column("label", labels), picked])


def frozen(settings: Settings, read: DatasetDict) -> dict[str, ModelOutputs]:
    """Embeddings of the frozen encoder, and the logits of a logistic regression on them."""
    tokenizer = AutoTokenizer.from_pretrained(settings.encoder)
    units = frozen_embeddings(settings.encoder, tokenize_texts(read, tokenizer, max_length=64), tokenizer)
    regression = LogisticRegression(C=10, max_iter=1000).fit(units["train"], read["train"]["label"][:])
    return {name: ModelOutputs(regression.decision_function(rows), rows) for name, rows in units.items()}


def exported(
    outputs: dict[str, ModelOutputs], labels: dict[str, np.ndarray], known: int, strangers: list[str]
) -> dict[str, float]:
    """Shares of the test texts that the exported classifier, which keeps 95 % of the validation texts, gets right."""
    logits = {name: found.logits[:, :known] for name, found in outputs.items()}
    temperature = fit_temperature(logits["validation"], labels["validation"])
    cut = RULE.cut(logits["validation"].max(axis=1) / temperature) * temperature
    is_kept = logits["test"].max(axis=1) >= cut
    right = is_kept & (logits["test"].argmax(axis=1) == labels["test"])
    found = {name: float((logits[name].max(axis=1) < cut).mean()) for name in strangers}
    return {"temperature": temperature, "kept": float(is_kept.mean()), "accuracy": float(right.mean()), **found}


def write_table(path: Path, runs: list[dict[str, Any]]) -> None:
    """Writes a table of means over seeds, in percent."""
    at, lines = runs[0], ["# Texts of no class, after each way of training", ""]
    lines += [
        f"{at['settings']['encoder']}, {at['settings']['per_class']} training texts of each class; means over the "
        "seeds. AUROC by score; `found` is the share of out-of-scope texts found where 95 % of the test texts are "
        "kept by the largest logit; `exported`: accuracy and share found of the classifier whose class out_of_scope "
        "keeps 95 % of the validation texts.",
        "",
        "| data | out of scope | system | seeds | accuracy | largest logit | energy | probability | Mahalanobis | "
        "centroid | 5 nearest | linear centroid | learned class | found | exported: accuracy | found |",
        "|---|---|---|---|" + "---:|" * 12,
    ]
    columns = ("largest_logit", "energy", "largest_probability", "mahalanobis", "centroid", "neighbours")
    for cell, (_, oos) in CELLS.items():
        for name in (f"{name}_test" for name in oos["test"]):
            for system in SYSTEMS:
                own = [run for run in runs if (run["settings"]["cell"], run["settings"]["system"]) == (cell, system)]
                if own:
                    scores = [run["scores"][name] for run in own]
                    figures = [[run["accuracy"] for run in own]]
                    for score in (*columns, "linear_centroid", "learned_class"):
                        figures.append([found[score]["auroc"] for found in scores if score in found])
                    figures.append([found["largest_logit"]["oos_recall_at_95_kept"] for found in scores])
                    figures += [[run["exported"]["accuracy"] for run in own], [run["exported"][name] for run in own]]
                    cells = (f"{100 * np.mean(values):.1f}" if values else "" for values in figures)
                    seeds = ", ".join(str(run["settings"]["seed"]) for run in own)
                    lines.append(f"| {cell} | {name[:-5]} | {system} | {seeds} | {' | '.join(cells)} |")
    lines += ["", f"{at['machine']['device']}; {listed(at['versions'])}.", ""]
    path.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    with one_line_errors():
        main()
