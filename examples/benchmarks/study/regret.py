"""Regret of each system: how many points it is behind the best system on a draw."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import ttest_rel

from .runs import Runs, correct


# The systems of a set are compared on the draws on which all of them ran, and the others with the last one.
SETS = (
    ("trainer-ce", "ce", "scl", "lcl-tenth", "logistic-regression", "lcl"),
    ("trainer-ce", "ce", "lcl", "logistic-regression", "lcl-learned"),
)
RESAMPLES = 2000
ABOUT = (
    "Points behind the best of all systems that ran on a draw (the texts of one seed), over the draws on which all of "
    "the rows ran. In brackets: 95 % interval by a bootstrap over cells, their draws and the test texts. Lead: of the "
    "last row, in points; p by a paired t-test over the means of the cells, after Holm."
)


class Draw(NamedTuple):
    """
    Results of all systems on the test texts after training on one draw.

    Args:
        cell (`str`): name of the cell.
        seed (`int`): seed of the draw.
        systems (`list[str]`): the systems that ran.
        correct (`np.ndarray` of shape `(systems, texts)`): 1.0 for texts that were classified correctly, else 0.0.
    """

    cell: str
    seed: int
    systems: list[str]
    correct: np.ndarray


def regret_tables(runs: Runs, cells: Sequence[str]) -> list[str]:
    """A section with a table for each of `SETS` that has two draws or more; empty if none has."""
    lines = [line for systems in SETS for line in _table([*draws_of(runs, cells, systems)], systems)]
    return ["## Regret, few texts of each class", "", ABOUT, "", *lines] if lines else []


def draws_of(runs: Runs, cells: Sequence[str], systems: Sequence[str]) -> Iterator[Draw]:
    """The draws on which all of these systems ran, with the results of all systems that did."""
    for cell in cells:
        by_system = {system: seeds for (name, system), seeds in runs.items() if name == cell}
        for seed in sorted(set.intersection(*(set(by_system.get(system, ())) for system in systems))):
            own = [system for system in by_system if seed in by_system[system]]
            yield Draw(cell, seed, own, np.stack([correct(by_system[system][seed]) for system in own]))


def _table(draws: list[Draw], systems: Sequence[str]) -> list[str]:
    if len(draws) < 2:
        return []
    regrets = np.array([_regrets(draw, draw.correct.mean(axis=1), systems) for draw in draws])
    low, high = np.percentile(_resampled(draws, systems), (2.5, 97.5), axis=0)
    cells = [draw.cell for draw in draws]
    accuracies = np.array([[draw.correct[draw.systems.index(name)].mean() for name in systems] for draw in draws])
    of_cells = np.array([accuracies[[cell == name for name in cells]].mean(axis=0) for cell in dict.fromkeys(cells)])
    others = range(len(systems) - 1)
    p_values = holm([float(ttest_rel(of_cells[:, -1], of_cells[:, other]).pvalue) for other in others])
    lines = [
        f"{len(draws)} draws of {len(of_cells)} cells.",
        "",
        "| | mean regret | worst | draws behind by less than 1 | lead of the last row | p |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for index, system in enumerate(systems):
        own, worst = 100 * regrets[:, index], draws[int(regrets[:, index].argmax())]
        text = f"| {system} | {own.mean():.1f} [{100 * low[index]:.1f}, {100 * high[index]:.1f}] | {own.max():.1f} "
        text += f"({worst.cell}, seed {worst.seed}) | {(own < 1).sum()} of {len(draws)} | "
        if index in others:
            text += f"{100 * (of_cells[:, -1] - of_cells[:, index]).mean():+.1f} | {p_values[index]:.2f} |"
        lines.append(text if index in others else f"{text}| |")
    return [*lines, ""]


def _regrets(draw: Draw, accuracies: np.ndarray, systems: Sequence[str]) -> np.ndarray:
    return accuracies.max() - accuracies[[draw.systems.index(system) for system in systems]]


def _resampled(draws: list[Draw], systems: Sequence[str]) -> np.ndarray:
    """Mean regrets `(resamples, systems)` in bootstrap samples of the cells, of their draws and of the test texts."""
    rng = np.random.default_rng(0)
    by_cell: dict[str, list[np.ndarray]] = defaultdict(list)
    for draw in draws:
        texts = draw.correct.shape[1]
        counts = rng.multinomial(texts, np.full(texts, 1 / texts), RESAMPLES)
        accuracies = counts @ draw.correct.T / texts
        by_cell[draw.cell].append(np.stack([_regrets(draw, row, systems) for row in accuracies]))
    found = np.empty((RESAMPLES, len(systems)))
    for sample in range(RESAMPLES):
        picked = rng.choice(list(by_cell), len(by_cell))
        rows = [
            by_cell[cell][draw][sample]
            for cell in picked
            for draw in rng.integers(len(by_cell[cell]), size=len(by_cell[cell]))
        ]
        found[sample] = np.mean(rows, axis=0)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, adjusted by Holm's method to control the family-wise error rate."""
    order = np.argsort(p_values)
    raised = np.maximum.accumulate([p_values[index] * (len(p_values) - rank) for rank, index in enumerate(order)])
    return [float(min(1.0, raised[rank])) for rank in np.argsort(order)]
