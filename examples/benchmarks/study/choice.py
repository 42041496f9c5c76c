"""What trajectories say of clocks, means of weights and heads: tables of what each choice falls short of the best."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from statistics import mean, stdev
from typing import Any

from .table import origin, table


Run = dict[str, Any]
# Cell and seed to the runs of each system.
Draws = dict[tuple[str, int], dict[str, Run]]

# Draw to regret, negative log-likelihood and share of the epochs.
Judged = dict[tuple[str, int], tuple[float, float, float]]

# Up to which share of what guessing has the epoch means of both cross-entropies have to fall: the classifier's, and
# the weighting network's, where there is one. A training goes on for half as long again.
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
# The head that was trained, those that are fitted anew to the features that it sees then, and a mean of both.
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
        weights (`str`): the last `"iterate"`, or the `"mean"` of all, of which later ones count more.
        head (`str`): one of `HEADS`.
    """

    system: str
    when: float | str
    weights: str
    head: str

    @property
    def end(self) -> str:
        """All but the head, as tables call it."""
        when = f"clock {self.when}" if isinstance(self.when, str) else f"{self.when:.0%} of the epochs"
        return f"{self.system}, {when}, {self.weights}"


def choices() -> list[Choice]:
    """All that are compared."""
    lcl_ends = (0.3, 0.5, 0.65, 1.0, *(name for name in CLOCKS if "," in name))
    ends = [("lcl", end) for end in lcl_ends] + [("ce", end) for end in (0.3, 0.5, 1.0, "0.05", "0.02")]
    found = [Choice(*end, "mean", head) for end, head in product(ends, HEADS)]
    return found + [Choice(system, 1.0, "iterate", head) for system, head in product(("lcl", "ce"), HEADS)]


def fired(losses: dict[str, list[float]], clock: tuple[float, float]) -> int | None:
    """
    The first epoch, counted from 1, whose losses are small enough.

    Args:
        losses (`dict[str, list[float]]`): of each epoch, as shares of what guessing has.
        clock (`tuple[float, float]`): how small `loss_ce` and, where there is one, `loss_weighting` have to be.
    """
    measured = [losses[name] for name in ("loss_ce", "loss_weighting") if name in losses]
    for epoch, values in enumerate(zip(*measured), start=1):
        if all(value <= limit for value, limit in zip(values, clock)):
            return epoch
    return None


def end_of(run: Run, when: float | str) -> int:
    """After how many epochs a training ends; of those at which it was looked at, the closest."""
    epochs = run["settings"]["budget"]["epochs"]
    looked_at = [point["epoch"] for point in run["points"]]
    if isinstance(when, str):
        start = fired(run["losses"], CLOCKS[when])
        wanted = epochs if start is None else min(epochs, EPOCHS_FACTOR * start)
    else:
        wanted = when * epochs
    return min(looked_at, key=lambda epoch: abs(epoch - wanted))


def scores_of(run: Run, choice: Choice) -> tuple[float, float, float]:
    """Accuracy, negative log-likelihood and the share of the epochs that a choice would have had in a run."""
    epochs = run["settings"]["budget"]["epochs"]
    end = end_of(run, choice.when)
    point = point_of(run, end, choice.weights)
    head, penalty = HEADS[choice.head]
    accuracy, likelihood = point["trained"] if penalty is None else point[head][penalty]
    return accuracy, likelihood, end / epochs


def point_of(run: Run, epoch: int, weights: str) -> dict[str, Any]:
    """What a training was seen to be at the end of an epoch, with these weights."""
    return next(point for point in run["points"] if (point["epoch"], point["weights"]) == (epoch, weights))


def draws_of(runs: Iterable[Run]) -> Draws:
    """Runs that learned from the same texts."""
    draws: Draws = defaultdict(dict)
    for run in runs:
        draws[run["settings"]["cell"], run["settings"]["seed"]][run["settings"]["system"]] = run
    return draws


def best_of(draw: dict[str, Run]) -> float:
    """Accuracy of the best system as it ends today."""
    return max(run["end"][0] for run in draw.values())


def markdown(runs: list[Run], cells: list[str]) -> str:
    """All tables as a page."""
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
    "The first epoch at which the mean cross-entropies of an epoch, as shares of the logarithm of the number of "
    "classes, are as low as the name says (classifier, weighting network), in percent of the epochs, for each seed."
)
_ABOUT_CHOICES = (
    "Points that a choice is behind the best system of the same draw as it ends today (its regret, negative where it "
    "is ahead), mean over cells, and in brackets that of the worst cell; mean negative log-likelihood of the "
    "held-out texts; steps as a share of today's. By head, with its inverse penalty. Where a clock has not struck, a "
    "training ends where it ends today; it ends where it was looked at next to half as late again as the clock "
    "struck. `mean` is the one over all iterates, each of which counts as much as the steps before it."
)
_ABOUT_CELLS = (
    f"Regret: mean over draws (draws), and over cells ± standard error over draws. The {BEST} choices with the lowest "
    "mean, and the systems as they are today."
)
_ABOUT_PENALTIES = (
    f"Accuracy and NLL of the mean at the clock `{CHOSEN}`, and of today's last iterate, by the inverse penalty of "
    "the refit, beside the trained head: means over all draws of a cell."
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
    """Of the draws in which the system has run."""
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
