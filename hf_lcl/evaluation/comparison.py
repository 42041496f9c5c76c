"""Is one way of training better than another? Means, deviations and paired tests over texts and over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
from scipy import stats


RESAMPLES = 9999
# Of that many resamples at once, for the sake of memory.
BATCH = 100


@dataclass(frozen=True)
class PairedTest:
    """
    Two systems on the same texts, from the same seeds.

    Args:
        difference (`float`): of the mean accuracies.
        low, high (`float`): 95% interval of it over other texts of that kind (paired bootstrap).
        p_texts (`float`): how often so large a difference comes about by chance if both are equally good, over texts
            (signs flipped at random; with one seed, McNemar's exact test).
        p_seeds (`float`, *optional*): likewise over seeds (paired t-test); `None` with less than two, or where all
            differences are equal.
    """

    difference: float
    low: float
    high: float
    p_texts: float
    p_seeds: float | None


def paired_test(correct: np.ndarray, reference: np.ndarray) -> PairedTest:
    """
    Compares two systems.

    Args:
        correct (`np.ndarray` of shape `(seeds, texts)`): 1 where the system is right.
        reference (`np.ndarray` of shape `(seeds, texts)`): likewise, of the one it is compared with.

    Returns:
        [`PairedTest`]

    Raises:
        ValueError: for other seeds or texts.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation.comparison import paired_test

    >>> found = paired_test(np.array([[1, 1, 1, 1, 1, 1, 0]]), np.array([[0, 0, 0, 0, 0, 1, 1]]))
    >>> round(found.difference, 3), found.p_texts  # 5 to 1 texts: 2 * (1 + 6) / 64
    (0.571, 0.21875)
    ```
    """
    if correct.shape != reference.shape:
        raise ValueError(f"{correct.shape} and {reference.shape} are not the same seeds and texts.")
    by_text = correct.mean(axis=0) - reference.mean(axis=0)
    by_seed = correct.mean(axis=1) - reference.mean(axis=1)
    low, high = by_text.mean(), by_text.mean()
    if np.ptp(by_text) > 0:
        interval = stats.bootstrap(
            (by_text,), np.mean, n_resamples=RESAMPLES, batch=BATCH, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        low, high = interval
    return PairedTest(
        difference=float(by_text.mean()),
        low=float(low),
        high=float(high),
        p_texts=_sign_flips(by_text),
        p_seeds=float(stats.ttest_1samp(by_seed, 0).pvalue) if np.ptp(by_seed) > 1e-12 else None,
    )


def _sign_flips(differences: np.ndarray) -> float:
    # Texts without a difference have no sign to flip.
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    if np.ptp(np.abs(differences)) == 0:
        return float(stats.binomtest(int((differences > 0).sum()), len(differences)).pvalue)
    return float(
        stats.permutation_test(
            (differences,),
            np.sum,
            permutation_type="samples",
            n_resamples=RESAMPLES,
            batch=BATCH,
            rng=np.random.default_rng(0),
        ).pvalue
    )


def comparison_rows(runs: Sequence[dict[str, Any]], references: np.ndarray) -> list[dict[str, Any]]:
    """
    One row per objective, in percent, each compared with the first one over the seeds that both have.

    Args:
        runs (`Sequence[dict]`): of each the `settings` with its `objective` and, in `training`, its `seed`; `metrics`
            (shares from 0 to 1), `seconds` and `predictions` (class ids).
        references (`np.ndarray` of shape `(texts,)`): true class ids.

    Returns:
        `list[dict]`: columns of a table, as text.
    """
    by_objective: dict[str, dict[int, dict[str, Any]]] = {}
    for run in runs:
        settings = run["settings"]
        by_objective.setdefault(settings["objective"], {})[settings["training"]["seed"]] = run
    (first, reference), *_ = by_objective.items()
    rows = []
    for objective, own in by_objective.items():
        row = {"objective": objective, "runs": len(own)}
        row |= {name: _spread([100 * run["metrics"][name] for run in own.values()]) for name in runs[0]["metrics"]}
        row["seconds"] = _spread([run["seconds"] for run in own.values()], digits=0)
        seeds = sorted(own.keys() & reference.keys())
        row |= dict.fromkeys((f"accuracy - {first}", "95% interval", "p over texts", "p over seeds"), "")
        if objective != first and seeds:
            found = paired_test(_correct(own, seeds, references), _correct(reference, seeds, references))
            row[f"accuracy - {first}"] = f"{100 * found.difference:+.1f}"
            row["95% interval"] = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
            row["p over texts"] = _p_value(found.p_texts)
            row["p over seeds"] = "" if found.p_seeds is None else _p_value(found.p_seeds)
        rows.append(row)
    return rows


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as a table of markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(map(str, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _correct(runs: dict[int, dict[str, Any]], seeds: list[int], references: np.ndarray) -> np.ndarray:
    return np.array([np.asarray(runs[seed]["predictions"]) == references for seed in seeds], dtype=float)


def _spread(values: list[float], digits: int = 1) -> str:
    """Mean ± standard deviation."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
