"""The page of results of the benchmark of wrong labels."""

from collections import defaultdict
from collections.abc import Iterable
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np
from audit_flips import SHARE
from audit_large import large_markdown
from audit_time import timed_markdown
from environment import listed


Run = dict[str, Any]


def markdown(encoder: str, results: str, found: dict[str, list[Run]], missing: list[dict[str, Any]]) -> str:
    """
    A page of the finished runs.

    Args:
        encoder (`str`): name of the encoder.
        results (`str`): name of the results file.
        found (`dict[str, list]`): maps kinds of runs to the finished ones.
        missing (`list[dict]`): settings of the runs that are not finished.
    """
    parts = [
        ["# Are wrong labels found?", ""],
        _frozen(encoder, results, found["frozen"]) if found["frozen"] else [],
        _fine_tuned(found["fine-tuned"]) if found["fine-tuned"] else [],
        _again(found["again"]) if found["again"] else [],
        ["## How long the command takes", "", *timed_markdown(found["time"])] if found["time"] else [],
        ["## Large files", "", *large_markdown(found["large"])] if found["large"] else [],
        _next(found["next"]) if found["next"] else [],
    ]
    first = next((run for runs in found.values() for run in runs), None)
    told = ("large", "by", "data", "noise", "objective", "mended", "strategy", "seed")
    lacking = [", ".join(str(run[name]) for name in told if name in run) for run in missing]
    parts += [[f"Not run: {'; '.join(lacking)}.", ""]] if lacking else []
    end = [f"{first['machine']['device']}; {listed(first['versions'])}."] if first else []
    return "\n".join([line for part in parts for line in part] + [*end, ""])


def _by(runs: Iterable[Run], *names: str) -> dict[tuple[Any, ...], list[Run]]:
    """Groups runs by some of their settings, so that a group holds all seeds."""
    cells = defaultdict(list)
    for run in runs:
        cells[tuple(run["settings"][name] for name in names)].append(run)
    return cells


def _mean(of: list[Run], *path: Any) -> float:
    return float(np.mean([reduce(getitem, path, run) for run in of]))


def _seeds(runs: list[Run]) -> str:
    seeds = sorted({run["settings"]["seed"] for run in runs})
    return f"seed {seeds[0]} alone" if len(seeds) == 1 else f"means of the seeds {', '.join(map(str, seeds))}"


def _rankings(cells: dict[tuple[Any, ...], list[Run]]) -> list[str]:
    return [
        f"| {' | '.join([*map(str, cell[:2]), ' '.join([*cell[2:] * (not name.startswith('frozen')), name])])} "
        f"| {_mean(of, 'rankings', name, 'precision_at_k'):.1%} | {_mean(of, 'rankings', name, 'auroc'):.1%} |"
        for cell, of in cells.items()
        for name in of[0]["rankings"]
    ]


def _frozen(encoder: str, results: str, runs: list[Run]) -> list[str]:
    cells, size = _by(runs, "data", "noise"), runs[0]["settings"]
    flags, mended = [], []
    for (data, noise), of in cells.items():
        for name in of[0]["flags"]:
            number, right = _mean(of, "flags", name, "number"), _mean(of, "flags", name, "right")
            share = right / _mean(of, "flipped")
            flags.append(f"| {data} | {noise} | {name} | {number:.0f} | {right / max(number, 1):.1%} | {share:.1%} |")
        reached = [f"{_mean(of, 'accuracy', name):.1%}" for name in of[0]["accuracy"]]
        mended.append(f"| {data} | {noise} | {' | '.join(reached)} |")
    return [
        f"{SHARE:.0%} of the labels flipped; {size['per_class']} texts of each class where there are 20 classes "
        f"or more, else {size['max_samples']} texts; {_seeds(runs)}; frozen {encoder}. "
        f"All figures: `{results}`. cleanlab ranks the same out-of-fold probabilities. `prior of relations`: the "
        "margin, with a wrong label likelier of a class that is close to the truth, by the mean probabilities of the "
        "texts of each class; the number is the power of the prior.",
        "",
        "k is the number of flipped labels. Real errors of the data count as right labels here.",
        "",
        "| data | flipped to | ranking | precision at k | AUROC |",
        "|---|---|---|---:|---:|",
        *_rankings(cells),
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
    ]


def _training(run: Run) -> str:
    size = run["settings"]
    return f"{size['epochs']} epochs, learning rate {size['learning_rate']:g}, batches of 32, the mean of the tokens"


def _fine_tuned(runs: list[Run]) -> list[str]:
    return [
        "## By fine-tuned classifiers",
        "",
        f"The same flips; cross-entropy (`ce`) and the library's default objective (`lcl`), both from a "
        f"fitted head, {_training(runs[0])}, out of {runs[0]['settings']['folds']} folds that keep equal texts "
        f"together ({_seeds(runs)}). `learned relations` are the mean weights that LCL's weighting network gives to "
        "the classes, out of fold, by the label given; `frozen`: the regression on frozen embeddings in these folds.",
        "",
        "| data | flipped to | ranking | precision at k | AUROC |",
        "|---|---|---|---:|---:|",
        *_rankings(_by(runs, "data", "noise", "objective")),
        "",
    ]


def _again(runs: list[Run]) -> list[str]:
    rows: dict[tuple[Any, ...], dict[str, str]] = defaultdict(dict)
    for (data, noise, mended), of in _by(runs, "data", "noise", "mended").items():
        rows[data, noise][mended] = f"{_mean(of, 'accuracy'):.1%}"
    names = list(dict.fromkeys(run["settings"]["mended"] for run in runs))
    return [
        f"Test accuracy of a classifier that is fine-tuned with LCL ({_training(runs[0])}; {_seeds(runs)}) where the "
        "k rows that the audit of the frozen embeddings lists first are dropped or get the class that is suggested, "
        "unseen by people:",
        "",
        f"| data | flipped to | {' | '.join(names)} |",
        "|---|---" + "|---:" * len(names) + "|",
        *(
            f"| {data} | {noise} | {' | '.join(row.get(name, '') for name in names)} |"
            for (data, noise), row in rows.items()
        ),
        "",
    ]


def _next(runs: list[Run]) -> list[str]:
    labelled = runs[0]["labelled"]
    rows = [
        f"| {data} | {name} | {what.replace('_', ' ')} | "
        + " | ".join(f"{_mean(of, what, index):.1%}" for index in range(len(labelled)))
        + " |"
        for what in ("accuracy", "macro_f1")
        for (data, name), of in _by(runs, "data", "strategy").items()
        if what in of[0]
    ]
    drawn = {data: of[0]["settings"] for (data,), of in _by(runs, "data").items()}
    pools = [
        f"{size['per_class']} texts of each class of {data}"
        if size["per_class"]
        else f"{size['max_samples']:,} texts of {data} as they come"
        for data, size in drawn.items()
    ]
    return [
        "# What to label next",
        "",
        f"Of a logistic regression on the frozen embeddings, on test texts, from {labelled[0]} texts on, "
        f"{labelled[1] - labelled[0]} more in each round; {_seeds(runs)}. The pools: {'; '.join(pools)}.",
        "",
        "| data | chosen by | | " + " | ".join(map(str, labelled)) + " |",
        "|---|---|---" + "|---:" * len(labelled) + "|",
        *rows,
        "",
    ]
