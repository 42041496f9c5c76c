"""The losses and scores of a training run by step, and F1 by threshold."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .theme import Theme, new_figure


LOSSES = {
    "loss": "loss",
    "loss_ce": "cross-entropy",
    "loss_weighting": "cross-entropy of the weighting network",
    "loss_contrastive": "contrastive",
}
SCORES = {"eval_accuracy": "accuracy", "eval_micro_f1": "micro F1", "eval_macro_f1": "macro F1"}
MOST_POINTS_WITH_MARKERS = 40


def plot_training_curves(log_history: list[dict[str, Any]], theme: Theme) -> Figure:
    """The losses in `trainer.state.log_history` by step and, if there were evaluations, accuracy and macro F1."""
    scores = _logged(log_history, SCORES)
    panels = {"Loss": _logged(log_history, LOSSES)} | ({"Evaluation": scores} if scores else {})
    figure = new_figure(0.6 + 4.6 * len(panels), 4.2)
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for color, (label, points) in zip(theme.colors, curves.items()):
            marker = "o" if len(points) <= MOST_POINTS_WITH_MARKERS else None
            axes.plot(*zip(*points), label=label, color=color, marker=marker, markersize=3)
        if title == "Loss":
            for label, points in _logged(log_history, {"eval_loss": "loss in evaluation"}).items():
                axes.plot(*zip(*points), label=label, color=theme.colors[4], linestyle="--", marker="s", markersize=4)
        axes.set(title=title, xlabel="step")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def plot_thresholds(thresholds: np.ndarray, scores: dict[str, np.ndarray], theme: Theme) -> Figure:
    """Scores of the decisions of several labels by the probability `(points,)` above which a label is given."""
    figure = new_figure(5.2, 4.2)
    axes = figure.subplots()
    for color, (label, values) in zip(theme.colors, scores.items()):
        axes.plot(thresholds, values, label=label, color=color)
    axes.axvline(0.5, color=theme.text, linestyle="--", linewidth=0.9)
    axes.set(title="F1 by the threshold of all labels", xlabel="probability above which a label is given", ylim=(0, 1))
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def _logged(log_history: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, list[tuple[int, float]]]:
    """The points of each value that was logged, by its label."""
    curves = {
        label: [(line["step"], line[name]) for line in log_history if name in line] for name, label in labels.items()
    }
    return {label: points for label, points in curves.items() if points}
