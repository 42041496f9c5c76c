"""Whether one way of training is better than another: means, deviations, and paired tests over texts and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
from scipy import stats

from .decisions import is_right


# Resamples of the bootstrap and of the permutation test, and how many of them are in memory at a time.
RESAMPLES, BATCH = 9999, 100


@dataclass(frozen=True)
class PairedTest:
    """The comparison of two systems on the same texts and with the same seeds."""

    difference: float  # of the mean accuracies
    low: float  # the 95% interval of the difference over texts, by a paired bootstrap
    high: float
    p_texts: float  # over texts, by random sign flips; with one seed, McNemar's exact test
    p_seeds: float | None  # over seeds, by a paired t-test; `None` with one seed, or if all differences are equal


def paired_test(correct: np.ndarray, reference: np.ndarray) -> PairedTest:
    """Compares two systems; `correct` and `reference` `(seeds, texts)` are 1 for a correct prediction, else 0."""
    if correct.shape != reference.shape:
        raise ValueError(f"{correct.shape} and {reference.shape} are not the same seeds and texts.")
    by_text = correct.mean(axis=0) - reference.mean(axis=0)
    by_seed = correct.mean(axis=1) - reference.mean(axis=1)
    low = high = by_text.mean()
    if np.ptp(by_text) > 0:
        low, high = stats.bootstrap(
            (by_text,), np.mean, method="percentile", n_resamples=RESAMPLES, batch=BATCH, rng=np.random.default_rng(0)
        ).confidence_interval
    p_seeds = float(stats.ttest_1samp(by_seed, 0).pvalue) if np.ptp(by_seed) > 1e-12 else None
    return PairedTest(float(by_text.mean()), float(low), float(high), _p_over_texts(by_text), p_seeds)


def _p_over_texts(differences: np.ndarray) -> float:
    differences = differences[differences != 0]  # the others have no sign to flip
    if not len(differences):
        return 1.0
    if np.ptp(np.abs(differences)) == 0:
        return float(stats.binomtest(int((differences > 0).sum()), len(differences)).pvalue)
    options = {"n_resamples": RESAMPLES, "batch": BATCH, "rng": np.random.default_rng(0)}
    return float(stats.permutation_test((differences,), np.sum, permutation_type="samples", **options).pvalue)


def comparison_rows(runs: Sequence[Mapping[str, Any]], references: np.ndarray) -> list[dict[str, Any]]:
    """
    One row per objective, as text, in percent; each is compared with the first over the seeds that both have.

    A run holds its `settings` (`objective`, and `seed` in `training`), `metrics` (from 0 to 1), `seconds` and
    `predictions`. Like `references`, these are class ids `(texts,)`; or rows of 0 and 1, where all must be right.
    """
    by_objective: dict[str, dict[int, Mapping[str, Any]]] = {}
    for run in runs:
        settings = run["settings"]
        by_objective.setdefault(settings["objective"], {})[settings["training"]["seed"]] = run
    (first, reference), *_ = by_objective.items()
    what = "all labels right" if references.ndim == 2 else "accuracy"
    rows = []
    for objective, own in by_objective.items():
        row: dict[str, Any] = {"objective": objective, "runs": len(own)}
        row |= {name: _spread([100 * run["metrics"][name] for run in own.values()]) for name in runs[0]["metrics"]}
        row["seconds"] = _spread([run["seconds"] for run in own.values()], digits=0)
        seeds = sorted(own.keys() & reference.keys())
        found = None
        if objective != first and seeds:
            found = paired_test(*(_correct(some, seeds, references) for some in (own, reference)))
        row[f"{what} - {first}"] = f"{100 * found.difference:+.1f}" if found else ""
        row["95% interval"] = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}" if found else ""
        row["p over texts"] = _p_value(found.p_texts if found else None)
        row["p over seeds"] = _p_value(found.p_seeds if found else None)
        rows.append(row)
    return rows


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(map(str, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _correct(runs: Mapping[int, Mapping[str, Any]], seeds: list[int], references: np.ndarray) -> np.ndarray:
    return np.array([is_right(runs[seed]["predictions"], references) for seed in seeds], dtype=float)


def _spread(values: list[float], digits: int = 1) -> str:
    """Mean ± standard deviation."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def _p_value(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
