"""Plots of accuracy by training time."""

from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

from hf_lcl.evaluation.plots.theme import new_figure, save_picture
from hf_lcl.support.extras import load_extra

from .cost import REFERENCE, goal_of
from .runs import Runs
from .table import machine_of, timed_runs


if TYPE_CHECKING:
    from matplotlib.figure import Figure


MARKERS = "osD^vP*X<>hp"
COLUMNS = 4


def plot(runs: Runs, cells: list[str], systems: list[str], path: Path) -> None:
    """Plots accuracy by seconds of training: a panel for each cell that was run, a point for each system."""
    started = [cell for cell in cells if any((cell, system) in runs for system in systems)]
    if not started:
        return

    ticker = load_extra("matplotlib.ticker", extra="plots")

    def draw() -> "Figure":
        rows = -(-len(started) // COLUMNS)
        figure = new_figure(3.2 * COLUMNS, 2.6 * rows + 0.8)
        panels = figure.subplots(rows, COLUMNS, squeeze=False).flat
        for panel, cell in zip(panels, started):
            # The machine of the first system, for times that can be compared.
            first = next(runs[cell, system] for system in systems if (cell, system) in runs)
            machine = machine_of(list(first.values())[-1])
            for index, system in enumerate(systems):
                timed = timed_runs(runs, cell, system, machine)
                if timed:
                    panel.plot(
                        median(run["seconds"] for run in timed),
                        100 * mean(run["metrics"]["accuracy"] for run in runs[cell, system].values()),
                        MARKERS[index % len(MARKERS)],
                        color=f"C{index}",
                        label=system,
                    )
            panel.set_xscale("log", subs=[])
            panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter("{x:g}")
            panel.margins(x=0.2, y=0.15)
            panel.set_title(cell)
        for panel in list(figure.axes)[len(started) :]:
            panel.set_axis_off()
        figure.supxlabel("seconds from texts to a classifier")
        figure.supylabel("test accuracy, %")
        labels = dict(pair for panel in figure.axes for pair in zip(*reversed(panel.get_legend_handles_labels())))
        figure.legend(labels.values(), labels.keys(), loc="outside upper center", ncols=6)
        return figure

    save_picture(draw, path.parent, path.stem)


def plot_curves(runs: Runs, cells: list[str], systems: list[str], path: Path) -> None:
    """Plots accuracy by CPU seconds: a panel per cell of the reference, a line for the first seed of each system."""
    started = [cell for cell in cells if (cell, REFERENCE) in runs]
    if not started:
        return

    def draw() -> "Figure":
        figure = new_figure(7.5, 3.8 * len(started) + 0.6)
        for panel, cell in zip(figure.subplots(len(started), 1, squeeze=False).flat, started):
            for index, system in enumerate(systems):
                if (cell, system) not in runs:
                    continue
                seconds, accuracies = zip(*next(iter(runs[cell, system].values()))["curve"])
                style = {"color": f"C{index}", "label": system, "markersize": 4}
                panel.plot(seconds, [100 * each for each in accuracies], f"{MARKERS[index % len(MARKERS)]}-", **style)
            panel.axhline(100 * goal_of(runs, cell), color="0.7", linewidth=1)
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter("{x:g}")
            panel.set_title(cell)
            panel.set_xlabel("seconds of the processor")
            panel.set_ylabel("validation accuracy, %")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return figure

    save_picture(draw, path.parent, path.stem)
