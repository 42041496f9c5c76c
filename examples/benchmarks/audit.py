#!/usr/bin/env python
"""
Are wrong labels found, and is what `next` chooses worth more than chance? Labels of real data are flipped (to any
other class, or to the nearest one), ranked by `hf_lcl.evaluation.audit` and by cleanlab on the same out-of-fold
probabilities, and corrected or dropped; the embeddings are those of a frozen encoder. The processor seconds of
`hf-lcl audit` are counted by stages.

    python examples/benchmarks/audit.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results examples/results/audit.jsonl

A finished run is one line of the results; a rerun skips it. The tables are printed and written beside them. Needs
cleanlab: pip install "hf_lcl[bench]".
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from audit_time import time_audit, timed_markdown
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from environment import machine, versions
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from study.cells import Cell, few_of_each, load_cell
from tqdm import tqdm

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.evaluation.audit.choosing import choose_next
from hf_lcl.evaluation.audit.embedding import Embedder
from hf_lcl.evaluation.audit.findings import look_at
from hf_lcl.evaluation.audit.folds import out_of_fold
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.evaluation.relations import class_means
from hf_lcl.start.head import INVERSE_PENALTY


DATASETS = ("clinc150", "banking77", "sst5", "emoint")
NOISE = ("any class", "nearest class")
MANY_CLASSES = 20
SHARE = 0.05  # of the labels that are flipped
CLEANLAB = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
START, ROUND, ROUNDS = 300, 100, 5  # texts with a label at first and more in each round
STRATEGIES = ("chance", "next")
TIMED = {"data": "banking77", "rows": 1500, "planted": 30}


@dataclass
class Settings:
    """Encoder and data."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished runs; the tables get the same name."})
    encoder_name: str | None = field(default=None, metadata={"help": "What the page calls it; its last name if not."})
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; else the Hub."})
    datasets: list[str] = field(default_factory=lambda: [*DATASETS], metadata={"help": "By name of their recipes."})
    pool: str = field(default="clinc150", metadata={"help": "The one of them of which texts are chosen to label."})
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "Draws of the flipped labels."})
    per_class: int = field(default=20, metadata={"help": "Texts of each class, of data with 20 classes or more."})
    max_samples: int = field(default=2000, metadata={"help": "Texts of other data, and of each test set at most."})
    cache: Path = field(default=Path("audit_embeddings"), metadata={"help": "Where embeddings are kept."})


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    size = {name: getattr(settings, name) for name in ("per_class", "max_samples")}
    planned = [
        {"data": data, "noise": noise, "seed": seed, **size}
        for data in settings.datasets
        for noise in NOISE
        for seed in settings.seeds
    ]
    planned += [
        {"data": settings.pool, "strategy": name, "seed": seed, **size}
        for name in STRATEGIES
        for seed in settings.seeds
    ]
    timed = [TIMED | {"seed": seed} for seed in settings.seeds]
    for run in (progress := tqdm([run for run in [*planned, *timed] if run not in ledger], desc="runs")):
        progress.set_postfix_str(f"{run['data']}, {run.get('noise', run.get('strategy', 'time'))}, seed {run['seed']}")
        if "planted" in run:
            found = time_audit(run, settings.encoder, settings.data_dir)
        elif "noise" in run:
            found = find_errors(load(settings, run["data"]), run["noise"], run["seed"])
        else:
            found = label(load(settings, run["data"]), run["strategy"], run["seed"])
        ledger.add(run, found | {"machine": machine(), "versions": versions("cleanlab")})
    table = markdown(settings, [ledger[run] for run in planned], [ledger[run] for run in timed])
    settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def load(settings: Settings, name: str) -> dict[str, np.ndarray]:
    """Embeddings, classes and texts of training and test texts, from the cache after the first time."""
    path = settings.cache / f"{name}_{settings.per_class}_{settings.max_samples}.npz"
    if not path.is_file():
        splits = load_cell(Cell(name, 1, 1e-4), settings.data_dir, "test", 0)
        has_many = len(splits["train"].features["label"].names) >= MANY_CLASSES
        if has_many:
            splits["train"] = few_of_each(splits["train"], settings.per_class, 0)
        embed, arrays = Embedder(settings.encoder), {}
        for split in ("train", "test"):
            dataset = splits[split].shuffle(seed=0)
            if split == "test" or not has_many:
                dataset = dataset.select(range(min(len(dataset), settings.max_samples)))
            arrays |= {
                f"{split}_labels": np.array(dataset["label"][:]),
                f"{split}_texts": np.array(dataset["text"][:]),
            }
            arrays[f"{split}_embeddings"] = np.array(embed(dataset["text"][:], f"{name} {split}"))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    with np.load(path) as file:
        return dict(file)


def flip(data: dict[str, np.ndarray], noise: str, seed: int) -> np.ndarray:
    """The training labels, a share of them wrong."""
    rng, labels = np.random.default_rng(seed), data["train_labels"].copy()
    num_labels = labels.max() + 1
    rows = rng.choice(len(labels), round(SHARE * len(labels)), replace=False)
    if noise == "any class":
        labels[rows] = (labels[rows] + rng.integers(1, num_labels, len(rows))) % num_labels
        return labels
    means = class_means(data["train_embeddings"].astype(np.float64), labels, num_labels)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    np.fill_diagonal(cosines, -1)
    labels[rows] = cosines.argmax(axis=1)[labels[rows]]
    return labels


def find_errors(data: dict[str, np.ndarray], noise: str, seed: int) -> dict[str, Any]:
    """Precision at k and AUROC of each ranking, precision and recall of the flags, and what mending is worth."""
    labels, texts = flip(data, noise, seed), data["train_texts"].tolist()
    is_wrong = labels != data["train_labels"]
    found = look_at(data["train_embeddings"], labels, texts)
    groups = np.unique(data["train_texts"], return_inverse=True)[1]
    probabilities = np.array(out_of_fold(data["train_embeddings"], labels, groups), dtype=np.float64)
    probabilities = (probabilities + 1e-9) / (probabilities + 1e-9).sum(axis=1, keepdims=True)
    scores = {"ours": found.margins}
    scores |= {f"ours, prior of relations {power:g}": with_prior(probabilities, labels, power) for power in (0.5, 1.0)}
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
        "rankings": {
            name: {
                "precision_at_k": float(is_wrong[np.argsort(-score, kind="stable")[: is_wrong.sum()]].mean()),
                "auroc": float(roc_auc_score(is_wrong, score)),
            }
            for name, score in scores.items()
        },
        "flags": {
            name: {"number": int(flag.sum()), "right": int((flag & is_wrong).sum())} for name, flag in flags.items()
        },
        "accuracy": {name: accuracy(data, rows, given) for name, (rows, given) in trainings.items()},
    }


def with_prior(probabilities: np.ndarray, labels: np.ndarray, power: float) -> np.ndarray:
    """The margin where a wrong label is likelier of a class that is close to the truth: by mean probabilities."""
    relations = class_means(probabilities, labels, probabilities.shape[1])
    prior = power * np.log(relations[:, labels].T.clip(1e-6))  # of the label, given each class as the truth
    scores = np.log(probabilities) + prior
    rows = np.arange(len(labels))
    own = scores[rows, labels].copy()
    scores[rows, labels] = -np.inf
    return scores.max(axis=1) - own


def fit(data: dict[str, np.ndarray], rows: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """A logistic regression on some rows, as the head start fits it."""
    features = data["train_embeddings"][rows].astype(np.float32)
    scale = np.sqrt(np.square(features - features.mean(axis=0)).sum(axis=1).mean())
    return LogisticRegression(C=INVERSE_PENALTY / scale**2, max_iter=300, tol=1e-3).fit(features, labels[rows])


def accuracy(data: dict[str, np.ndarray], rows: np.ndarray, labels: np.ndarray) -> float:
    """On the test texts."""
    return float(fit(data, rows, labels).score(data["test_embeddings"].astype(np.float32), data["test_labels"]))


def label(data: dict[str, np.ndarray], strategy: str, seed: int) -> dict[str, Any]:
    """Accuracy with the first labels, and after each round of more."""
    labels, rng = data["train_labels"], np.random.default_rng(seed)
    rows = rng.permutation(len(labels))[:START]
    reached = [accuracy(data, rows, labels)]
    for _round in range(ROUNDS):
        pool = np.setdiff1d(np.arange(len(labels)), rows)
        if strategy == "next":
            model = fit(data, rows, labels)
            logits = np.full((len(pool), labels.max() + 1), -30.0)
            logits[:, model.classes_] = model.predict_log_proba(data["train_embeddings"][pool].astype(np.float32))
            chosen, _ = choose_next(logits, data["train_embeddings"][pool], data["train_texts"][pool].tolist(), ROUND)
        else:
            chosen = rng.permutation(len(pool))[:ROUND].tolist()
        rows = np.concatenate([rows, pool[chosen]])
        reached.append(accuracy(data, rows, labels))
    return {"labelled": [START + ROUND * index for index in range(ROUNDS + 1)], "accuracy": reached}


def markdown(settings: Settings, runs: list[dict[str, Any]], timed: list[dict[str, Any]]) -> str:
    """All figures as a page."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        cells[run["settings"]["data"], run["settings"].get("noise", run["settings"].get("strategy"))].append(run)

    def mean(of: list[dict[str, Any]], *path: Any) -> float:
        return float(np.mean([reduce(getitem, path, run) for run in of]))

    noisy = {key: of for key, of in cells.items() if "noise" in of[0]["settings"]}
    rankings, flags, mended = [], [], []
    for (data, noise), of in noisy.items():
        for name in of[0]["rankings"]:
            figures = [mean(of, "rankings", name, key) for key in ("precision_at_k", "auroc")]
            rankings.append(f"| {data} | {noise} | {name} | {figures[0]:.1%} | {figures[1]:.1%} |")
        for name in of[0]["flags"]:
            number, right = mean(of, "flags", name, "number"), mean(of, "flags", name, "right")
            share = right / mean(of, "flipped")
            flags.append(f"| {data} | {noise} | {name} | {number:.0f} | {right / number:.1%} | {share:.1%} |")
        reached = [f"{mean(of, 'accuracy', name):.1%}" for name in of[0]["accuracy"]]
        mended.append(f"| {data} | {noise} | {' | '.join(reached)} |")
    chosen = []
    for strategy in STRATEGIES:
        of = cells[settings.pool, strategy]
        reached = [f"{mean(of, 'accuracy', index):.1%}" for index in range(ROUNDS + 1)]
        chosen.append(f"| {strategy} | {' | '.join(reached)} |")
    first = runs[0]
    return "\n".join(
        [
            "# Are wrong labels found?",
            "",
            f"{SHARE:.0%} of the labels flipped; {settings.per_class} texts of each class where there are 20 classes "
            f"or more, else {settings.max_samples} texts; means of the seeds {', '.join(map(str, settings.seeds))}; "
            f"frozen {settings.encoder_name or Path(settings.encoder).name}. "
            f"All figures: `{settings.results.name}`. cleanlab ranks the same out-of-fold probabilities.",
            "",
            "k is the number of flipped labels. Real errors of the data count as right labels here.",
            "",
            "| data | flipped to | ranking | precision at k | AUROC |",
            "|---|---|---|---:|---:|",
            *rankings,
            "",
            "What gets the flag `label?`, and what `find_label_issues` of cleanlab returns:",
            "",
            "| data | flipped to | by | flagged | of these flipped | of the flipped ones |",
            "|---|---|---|---:|---:|---:|",
            *flags,
            "",
            "Test accuracy of a logistic regression on the embeddings, where the k worst are dropped or get the class "
            "that is suggested, unseen by people:",
            "",
            "| data | flipped to | as they are | worst dropped | worst corrected | without errors |",
            "|---|---|---:|---:|---:|---:|",
            *mended,
            "",
            *timed_markdown(timed),
            "# What to label next",
            "",
            f"Test accuracy on {settings.pool}, from {START} texts on, {ROUND} more in each round:",
            "",
            "| chosen by | " + " | ".join(str(START + ROUND * index) for index in range(ROUNDS + 1)) + " |",
            "|---" + "|---:" * (ROUNDS + 1) + "|",
            *chosen,
            "",
            f"{first['machine']['device']}; {', '.join(map(' '.join, first['versions'].items()))}.",
            "",
        ]
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
