"""Whether one way of training is better than another: means, deviations, and paired tests over texts and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
from scipy import stats
from scipy.signal import convolve

from .decisions import is_right


RESAMPLES = 9999  # of the bootstrap


@dataclass(frozen=True)
class PairedTest:
    """The comparison of two systems on the same texts and with the same seeds."""

    difference: float  # of the mean accuracies
    low: float  # the 95% interval of the difference over texts, by a paired bootstrap
    high: float
    p_texts: float  # over texts, by a sign-flip test that counts all flips; with one seed, McNemar's exact test
    p_seeds: float | None  # over seeds, by a paired t-test; `None` with one seed, or if all differences are equal


def paired_test(correct: np.ndarray, reference: np.ndarray) -> PairedTest:
    """Compares two systems; `correct` and `reference` `(seeds, texts)` are 1 for a correct prediction, else 0."""
    if correct.shape != reference.shape:
        raise ValueError(f"{correct.shape} and {reference.shape} are not the same seeds and texts.")
    by_text = (correct - reference).sum(axis=0).round().astype(int)  # in seeds
    by_seed = correct.mean(axis=1) - reference.mean(axis=1)
    low, high = _interval(by_text) / len(correct)
    p_seeds = float(stats.ttest_1samp(by_seed, 0).pvalue) if np.ptp(by_seed) > 1e-12 else None
    return PairedTest(float(by_seed.mean()), float(low), float(high), _p_over_texts(by_text), p_seeds)


def _interval(differences: np.ndarray) -> np.ndarray:
    # Which of the texts with the same difference is drawn does not matter, so that drawing their number is enough.
    values, counts = np.unique(differences, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(differences), counts / len(differences), RESAMPLES)
    return np.percentile(drawn @ values / len(differences), (2.5, 97.5))


def _p_over_texts(differences: np.ndarray) -> float:
    """The share of all ways to give the differences signs that lead to a sum at least as far from 0."""
    likelihood = np.ones(1)  # of each sum of the differences whose sign is positive, from 0 on
    for size, count in zip(*np.unique(np.abs(differences[differences != 0]), return_counts=True), strict=True):
        of_size = np.zeros(size * count + 1)
        of_size[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        likelihood = convolve(likelihood, of_size)
    sums = 2 * np.arange(len(likelihood)) - len(likelihood) + 1
    return float(likelihood[np.abs(sums) >= abs(differences.sum())].sum().clip(0, 1))


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
