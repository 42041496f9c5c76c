"""Tables of the regret of stopping rules (clocks), running means of weights and heads, computed from trajectories."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from statistics import mean, stdev
from typing import Any

from .table import origin, table


Run = dict[str, Any]
# Maps cell and seed to the runs by system.
Draws = dict[tuple[str, int], dict[str, Run]]

# Maps draws to regret, negative log-likelihood and share of the epochs.
Judged = dict[tuple[str, int], tuple[float, float, float]]

# Thresholds for the epoch means of the cross-entropies of the classifier and of the weighting network (if there is
# one), as shares of log(number of classes). A training ends at 1.5 times the first epoch at which both are reached.
CLOCKS = {
    "0.05, 0.85": (0.05, 0.85),
    "0.05, 0.75": (0.05, 0.75),
    "0.05, 0.6": (0.05, 0.6),
    "0.05, 0.5": (0.05, 0.5),
    "0.05, 0.4": (0.05, 0.4),
    "0.05": (0.05, float("inf")),
    "0.02": (0.02, float("inf")),
}
CHOSEN = "0.05, 0.6"
EPOCHS_FACTOR = 1.5
BEST = 10
# The trained head, heads refitted to the features at the end of the training, and the mean of both.
HEADS = {
    "trained": ("trained", None),
    "refit, penalty 3": ("refit", "3.0"),
    "refit, penalty 30": ("refit", "30.0"),
    "half, penalty 3": ("half", "3.0"),
    "half, penalty 30": ("half", "30.0"),
}


@dataclass(frozen=True)
class Choice:
    """
    One way to end a training.

    Args:
        system (`str`): the objective.
        when (`float` or `str`): share of the epochs, or name of a clock.
        weights (`str`): the last `"iterate"`, or the running `"mean"`, which gives later iterates more weight.
        head (`str`): one of `HEADS`.
    """

    system: str
    when: float | str
    weights: str
    head: str

    @property
    def end(self) -> str:
        """The name of the choice in tables, without the head."""
        when = f"clock {self.when}" if isinstance(self.when, str) else f"{self.when:.0%} of the epochs"
        return f"{self.system}, {when}, {self.weights}"


def choices() -> list[Choice]:
    """All choices to compare."""
    lcl_ends = (0.3, 0.5, 0.65, 1.0, *(name for name in CLOCKS if "," in name))
    ends = [("lcl", end) for end in lcl_ends] + [("ce", end) for end in (0.3, 0.5, 1.0, "0.05", "0.02")]
    found = [Choice(*end, "mean", head) for end, head in product(ends, HEADS)]
    return found + [Choice(system, 1.0, "iterate", head) for system, head in product(("lcl", "ce"), HEADS)]


def fired(losses: dict[str, list[float]], clock: tuple[float, float]) -> int | None:
    """
    The first epoch, counted from 1, whose losses are at or below the thresholds; `None` if there is none.

    Args:
        losses (`dict[str, list[float]]`): losses by epoch, as shares of log(number of classes).
        clock (`tuple[float, float]`): thresholds for `loss_ce` and, if present, `loss_weighting`.
    """
    measured = [losses[name] for name in ("loss_ce", "loss_weighting") if name in losses]
    for epoch, values in enumerate(zip(*measured), start=1):
        if all(value <= limit for value, limit in zip(values, clock)):
            return epoch
    return None


def end_of(run: Run, when: float | str) -> int:
    """The epoch at which a training ends: the one closest to `when` among those that were evaluated."""
    epochs = run["settings"]["budget"]["epochs"]
    looked_at = [point["epoch"] for point in run["points"]]
    if isinstance(when, str):
        start = fired(run["losses"], CLOCKS[when])
        wanted = epochs if start is None else min(epochs, EPOCHS_FACTOR * start)
    else:
        wanted = when * epochs
    return min(looked_at, key=lambda epoch: abs(epoch - wanted))


def scores_of(run: Run, choice: Choice) -> tuple[float, float, float]:
    """Accuracy, negative log-likelihood and share of the epochs that a choice would have given in a run."""
    epochs = run["settings"]["budget"]["epochs"]
    end = end_of(run, choice.when)
    point = point_of(run, end, choice.weights)
    head, penalty = HEADS[choice.head]
    accuracy, likelihood = point["trained"] if penalty is None else point[head][penalty]
    return accuracy, likelihood, end / epochs


def point_of(run: Run, epoch: int, weights: str) -> dict[str, Any]:
    """The evaluation at the end of an epoch with these weights."""
    return next(point for point in run["points"] if (point["epoch"], point["weights"]) == (epoch, weights))


def draws_of(runs: Iterable[Run]) -> Draws:
    """Groups runs by their training texts."""
    draws: Draws = defaultdict(dict)
    for run in runs:
        draws[run["settings"]["cell"], run["settings"]["seed"]][run["settings"]["system"]] = run
    return draws


def best_of(draw: dict[str, Run]) -> float:
    """Accuracy of the best system, with the last iterate and the trained head."""
    return max(run["end"][0] for run in draw.values())


def markdown(runs: list[Run], cells: list[str]) -> str:
    """All tables as a markdown page."""
    draws = draws_of(run for run in runs if run["settings"]["cell"] in cells)
    if not draws:
        return "# When to stop, which weights, which head\n\nNo run has finished.\n"
    cells = [cell for cell in cells if any(at == cell for at, _ in draws)]
    held_out = sorted({run["texts"]["test"] for run in runs})
    lines = ["# When to stop, which weights, which head", ""]
    lines += [f"Judged by {', '.join(map(str, held_out))} texts that are in no test set.", ""]
    lines += ["## Systems as they end today", "", "Accuracy in percent: mean over seeds (seeds).", ""]
    systems = list(dict.fromkeys(system for draw in draws.values() for system in draw))
    lines += [*table(cells, systems, lambda cell, system: _accuracy(draws, cell, system)), ""]
    lines += ["## Clocks", "", _ABOUT_CLOCKS, ""]
    lines += [
        *table(cells, [f"lcl, {name}" for name in CLOCKS], lambda cell, name: _fires(draws, cell, name)),
        *table(cells, ["ce, 0.05", "ce, 0.02"], lambda cell, name: _fires(draws, cell, name))[2:],
        "",
    ]
    judged = {choice: _judged(draws, choice) for choice in choices()}
    if any(judged.values()):
        lines += ["## Choices", "", _ABOUT_CHOICES, "", *_by_head(judged), ""]
        lines += ["## Choices, cell by cell", "", _ABOUT_CELLS, "", *_by_cell(judged, cells), ""]
    lines += ["## Penalty of a refit", "", _ABOUT_PENALTIES, "", *_penalties(draws, cells), ""]
    by_seed: dict[tuple[str, str], dict[int, Run]] = defaultdict(dict)
    for (cell, seed), draw in draws.items():
        for system, run in draw.items():
            by_seed[cell, system][seed] = run
    return "\n".join([*lines, *origin(by_seed)])


_ABOUT_CLOCKS = (
    "The first epoch, in percent of all epochs, whose mean cross-entropies, as shares of log(number of classes), are "
    "at or below the thresholds in the name (classifier, weighting network); one figure per seed."
)
_ABOUT_CHOICES = (
    "Regret in points: how far a choice is behind the best system of the same draw as it ends today (negative if it "
    "is ahead), mean over cells, in brackets the worst cell; then the mean negative log-likelihood of the held-out "
    "texts. Columns: heads, with the inverse penalty, and steps as a share of today's. With a clock, a training ends "
    "at the evaluated epoch closest to 1.5 times the one at which the clock's thresholds are reached, or where it "
    "ends today if they never are. `mean`: running mean of all iterates, with weights proportional to their steps."
)
_ABOUT_CELLS = (
    f"Regret: mean over draws (number of draws); last, mean over cells ± standard error over draws. The {BEST} "
    "choices with the lowest mean, and the systems as they end today."
)
_ABOUT_PENALTIES = (
    f"Accuracy and NLL of the running mean at the clock `{CHOSEN}`, and of today's last iterate, with the trained "
    "head and with refits by inverse penalty: means over all draws of a cell."
)


def _accuracy(draws: Draws, cell: str, system: str) -> str:
    values = [100 * draw[system]["end"][0] for (at, _), draw in draws.items() if at == cell and system in draw]
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread} ({len(values)})" if values else ""


def _fires(draws: Draws, cell: str, name: str) -> str:
    system, clock = name.split(", ", 1)
    found = []
    for (at, _), draw in sorted(draws.items()):
        if at == cell and system in draw:
            run = draw[system]
            epoch = fired(run["losses"], CLOCKS[clock])
            found.append("never" if epoch is None else f"{epoch / run['settings']['budget']['epochs']:.0%}")
    return ", ".join(found)


def _judged(draws: Draws, choice: Choice) -> Judged:
    """Evaluates a choice on the draws on which its system has run."""
    judged = {}
    for at, draw in draws.items():
        if choice.system in draw:
            accuracy, likelihood, share = scores_of(draw[choice.system], choice)
            judged[at] = (100 * (best_of(draw) - accuracy), likelihood, share)
    return judged


def _of_cells(judged: Judged) -> dict[str, float]:
    """Mean regret in each cell."""
    regrets = defaultdict(list)
    for (cell, _), (regret, *_) in judged.items():
        regrets[cell].append(regret)
    return {cell: mean(values) for cell, values in regrets.items()}


def _by_head(judged: dict[Choice, Judged]) -> list[str]:
    rows: dict[str, list[str]] = defaultdict(list)
    steps = {}
    for choice, draws in judged.items():
        if not draws:
            continue
        regrets = _of_cells(draws).values()
        likelihood = mean(likelihood for _, likelihood, _ in draws.values())
        rows[choice.end].append(f"{mean(regrets):+.1f} ({max(regrets):+.1f}) {likelihood:.2f}")
        steps[choice.end] = f"{mean(share for *_, share in draws.values()):.0%}"
    lines = [f"| | {' | '.join(HEADS)} | steps |", "|---|" + "---:|" * (len(HEADS) + 1)]
    return lines + [f"| {end} | {' | '.join(figures)} | {steps[end]} |" for end, figures in rows.items()]


def _by_cell(judged: dict[Choice, Judged], cells: list[str]) -> list[str]:
    judged = {choice: draws for choice, draws in judged.items() if draws}
    best = sorted(judged, key=lambda choice: mean(_of_cells(judged[choice]).values()))[:BEST]
    today = [Choice(system, 1.0, "iterate", "trained") for system in ("lcl", "ce")]
    today = [choice for choice in today if choice in judged]
    lines = [f"| | {' | '.join(cells)} | mean |", "|---|" + "---:|" * (len(cells) + 1)]
    for choice in dict.fromkeys([*best, *today]):
        draws, of_cells = judged[choice], _of_cells(judged[choice])
        count = {cell: sum(at == cell for at, _ in draws) for cell in cells}
        figures = [f"{of_cells[cell]:+.1f} ({count[cell]})" if cell in of_cells else "" for cell in cells]
        regrets = [regret for regret, *_ in draws.values()]
        error = f" ± {stdev(regrets) / len(regrets) ** 0.5:.1f}" if len(regrets) > 1 else ""
        figures.append(f"{mean(of_cells.values()):+.2f}{error}")
        lines.append(f"| {choice.end}, {choice.head} | {' | '.join(figures)} |")
    return lines


def _penalties(draws: Draws, cells: list[str]) -> list[str]:
    lines = []
    for cell, weights in product(cells, ("mean", "iterate")):
        found: dict[str, list[list[float]]] = defaultdict(list)
        for (at, _), draw in draws.items():
            if at == cell and "lcl" in draw:
                run = draw["lcl"]
                end = end_of(run, CHOSEN if weights == "mean" else 1.0)
                point = point_of(run, end, weights)
                found["trained"].append(point["trained"])
                for penalty, judged in point["refit"].items():
                    found[penalty].append(judged)
        if found:
            if not lines:
                lines = [f"| | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
            figures = [
                f"{100 * mean(accuracy for accuracy, _ in values):.1f}, {mean(loss for _, loss in values):.2f}"
                for values in found.values()
            ]
            lines.append(f"| {cell}, {weights} | {' | '.join(figures)} |")
    return lines
