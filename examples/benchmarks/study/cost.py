"""The cost of reaching the accuracy of the `Trainer` with cross-entropy."""

from statistics import mean, median
from typing import Any

from .runs import Runs
from .table import MIB, origin


REFERENCE = "trainer-ce"


def cost_table(runs: Runs, cells: list[str], systems: list[str]) -> str:
    """A page with a table for each cell that the reference has run on."""
    lines = [
        "# The cost of an accuracy",
        "",
        "Seconds of the processor from texts to the first classifier that is as good on the validation texts as "
        f"{REFERENCE} is at its end (they are looked at after each epoch, which does not count), and to the end. "
        "SetFit, sentence-transformers and logistic regression have no classifier before their end. MiB that the "
        "process grew by on the way. Medians over seeds; accuracy is a mean.",
        "",
    ]
    for cell in cells:
        if (cell, REFERENCE) not in runs:
            continue
        goal = goal_of(runs, cell)
        columns = [f"seconds to {100 * goal:.1f} %", "seconds to the end", "validation accuracy", "MiB", "seeds"]
        lines += [f"## {cell}", "", f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        for system in systems:
            if (cell, system) in runs:
                lines.append(f"| {system} | {' | '.join(_figures(list(runs[cell, system].values()), goal))} |")
        lines.append("")
    return "\n".join([*lines, *origin(runs)])


def goal_of(runs: Runs, cell: str) -> float:
    """Final validation accuracy of the reference, as a mean over seeds."""
    return mean(run["curve"][-1][1] for run in runs[cell, REFERENCE].values())


def seconds_to(curve: list[tuple[float, float]], goal: float) -> float:
    """Seconds at which a curve first reaches `goal`; infinity if it never does."""
    return next((seconds for seconds, accuracy in curve if accuracy >= goal), float("inf"))


def _figures(finished: list[dict[str, Any]], goal: float) -> list[str]:
    reached = median(seconds_to(run["curve"], goal) for run in finished)
    return [
        "not reached" if reached == float("inf") else f"{reached:.0f}",
        f"{median(run['curve'][-1][0] for run in finished):.0f}",
        f"{100 * mean(run['curve'][-1][1] for run in finished):.1f}",
        f"{median(run['peak_bytes'] for run in finished) / MIB:.0f}",
        str(len(finished)),
    ]
