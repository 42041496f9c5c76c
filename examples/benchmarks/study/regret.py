"""Regret of each system: how many points it is behind the best system with the same texts and seed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import ttest_rel

from .runs import Runs, correct


# The systems of a set are compared where all of them ran, and the others with the last one.
SETS = (
    ("trainer-ce", "ce", "scl", "lcl-tenth", "logistic-regression", "lcl"),
    ("trainer-ce", "ce", "lcl", "lcl-learned", "logistic-regression", "lcl-names"),
    ("trainer-ce", "ce", "lcl", "lcl-learned", "logistic-regression", "lcl-names", "lcl-default"),
)
RESAMPLES = 2000
ABOUT = (
    "Points behind the best of all systems that ran on a cell with the same seed, where all of the rows ran; as the "
    "best is known only afterwards, no system can have 0 everywhere. In brackets: 95 % interval by a bootstrap over "
    "data sets, the draws of their cells, seeds and test texts. Lead: of the last row, in points; p by a paired "
    "t-test over the means of the data sets, after Holm."
)


class Round(NamedTuple):
    """
    Results of all systems on the test texts after training on the same texts with the same seed.

    Args:
        cell (`str`): name of the cell.
        draw (`str`): fingerprint of the training texts, which may be the same for several seeds.
        seed (`int`): seed of the run.
        systems (`list[str]`): the systems that ran.
        correct (`np.ndarray` of shape `(systems, texts)`): 1.0 for texts that were classified correctly, else 0.0.
    """

    cell: str
    draw: str
    seed: int
    systems: list[str]
    correct: np.ndarray

    @property
    def data(self) -> str:
        """The name of the data set."""
        return self.cell.partition(",")[0]


def regret_tables(runs: Runs, cells: Sequence[str]) -> list[str]:
    """A section with a table for each of `SETS` that ran on two data sets or more; empty if none did."""
    lines = [line for systems in SETS for line in _table([*rounds_of(runs, cells, systems)], systems)]
    return ["## Regret, few texts of each class", "", ABOUT, "", *lines] if lines else []


def rounds_of(runs: Runs, cells: Sequence[str], systems: Sequence[str]) -> Iterator[Round]:
    """The cells and seeds with which all of these systems ran, with the results of all systems that did."""
    for cell in cells:
        by_system = {system: seeds for (name, system), seeds in runs.items() if name == cell}
        for seed in sorted(set.intersection(*(set(by_system.get(system, ())) for system in systems))):
            own = [system for system in by_system if seed in by_system[system]]
            draw = by_system[own[0]][seed]["fingerprints"]["train"]
            yield Round(cell, draw, seed, own, np.stack([correct(by_system[system][seed]) for system in own]))


def _table(rounds: list[Round], systems: Sequence[str]) -> list[str]:
    if len({one.data for one in rounds}) < 2:
        return []
    regrets = np.array([_regrets(one, one.correct.mean(axis=1), systems) for one in rounds])
    low, high = np.percentile(_resampled(rounds, systems), (2.5, 97.5), axis=0)
    accuracies = np.array([[one.correct[one.systems.index(name)].mean() for name in systems] for one in rounds])
    cells = {one.cell: one.data for one in rounds}
    of_cells = _means([one.cell for one in rounds], accuracies)
    of_data = _means(list(cells.values()), of_cells)
    others = range(len(systems) - 1)
    p_values = holm([float(ttest_rel(of_data[:, -1], of_data[:, other]).pvalue) for other in others])
    draws = {(one.cell, one.draw) for one in rounds}
    lines = [
        f"{len(rounds)} runs of each, on {len(draws)} draws of training texts, {len(cells)} cells and {len(of_data)} "
        "data sets.",
        "",
        "| | mean regret | worst | behind by less than 1 | lead, mean of cells | lead, mean of data sets | p |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for index, system in enumerate(systems):
        own, worst = 100 * regrets[:, index], rounds[int(regrets[:, index].argmax())]
        text = f"| {system} | {own.mean():.1f} [{100 * low[index]:.1f}, {100 * high[index]:.1f}] | {own.max():.1f} "
        text += f"({worst.cell}, seed {worst.seed}) | {(own < 1).sum()} of {len(rounds)} | "
        if index in others:
            leads = (100 * (means[:, -1] - means[:, index]).mean() for means in (of_cells, of_data))
            text += "".join(f"{lead:+.1f} | " for lead in leads) + f"{p_values[index]:.2f} |"
        lines.append(text if index in others else f"{text}| | |")
    return [*lines, ""]


def _means(groups: list[str], rows: np.ndarray) -> np.ndarray:
    """The mean row of each group, in the order of the groups."""
    return np.array([rows[[group == name for name in groups]].mean(axis=0) for group in dict.fromkeys(groups)])


def _regrets(one: Round, accuracies: np.ndarray, systems: Sequence[str]) -> np.ndarray:
    return accuracies.max() - accuracies[[one.systems.index(system) for system in systems]]


def _resampled(rounds: list[Round], systems: Sequence[str]) -> np.ndarray:
    """Mean regrets `(resamples, systems)` in bootstrap samples of data sets, draws, seeds and test texts."""
    rng = np.random.default_rng(0)
    by_data: dict[str, dict[str, dict[str, list[np.ndarray]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for one in rounds:
        # Texts that the same systems have right are drawn by their number.
        patterns, counts = np.unique(one.correct, axis=1, return_counts=True)
        drawn = rng.multinomial(counts.sum(), counts / counts.sum(), RESAMPLES)
        accuracies = drawn @ patterns.T / counts.sum()
        by_data[one.data][one.cell][one.draw].append(np.stack([_regrets(one, row, systems) for row in accuracies]))
    found = np.empty((RESAMPLES, len(systems)))
    for sample in range(RESAMPLES):
        rows = [
            seeds[seed][sample]
            for data in rng.choice(list(by_data), len(by_data))
            for draws in by_data[data].values()
            for draw in rng.choice(list(draws), len(draws))
            for seeds in [draws[draw]]
            for seed in rng.integers(len(seeds), size=len(seeds))
        ]
        found[sample] = np.mean(rows, axis=0)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, adjusted by Holm's method to control the family-wise error rate."""
    order = np.argsort(p_values)
    raised = np.maximum.accumulate([p_values[index] * (len(p_values) - rank) for rank, index in enumerate(order)])
    return [float(min(1.0, raised[rank])) for rank in np.argsort(order)]
