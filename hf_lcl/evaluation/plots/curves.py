"""Lines and bars: a training run by step, decisions by their cut, and confidence against accuracy."""

from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..calibration import ReliabilityBins
from ..selective import RiskCoverage
from .theme import new_figure


LOSSES = {
    "loss": "loss",
    "loss_ce": "cross-entropy",
    "loss_weighting": "cross-entropy of the weighting network",
    "loss_contrastive": "contrastive",
    "loss_names": "contrastive, with the class names",
}
SCORES = {"eval_accuracy": "accuracy", "eval_micro_f1": "micro F1", "eval_macro_f1": "macro F1"}
MOST_POINTS_WITH_MARKERS = 40


def plot_training_curves(log_history: list[dict[str, Any]]) -> Figure:
    """The losses in `trainer.state.log_history` by step and, if there were evaluations, accuracy and macro F1."""
    scores = _logged(log_history, SCORES)
    panels = {"Loss": _logged(log_history, LOSSES)} | ({"Evaluation": scores} if scores else {})
    figure = new_figure(0.6 + 4.6 * len(panels), 4.2)
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for label, points in curves.items():
            marker = "o" if len(points) <= MOST_POINTS_WITH_MARKERS else None
            axes.plot(*zip(*points), label=label, marker=marker, markersize=3)
        if title == "Loss":
            for label, points in _logged(log_history, {"eval_loss": "loss in evaluation"}).items():
                axes.plot(*zip(*points), label=label, color="C4", linestyle="--", marker="s", markersize=4)
        axes.set(title=title, xlabel="step")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        _legend_below(axes)
    return figure


def _logged(log_history: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, list[tuple[int, float]]]:
    """The points `(step, value)` of each logged value, by its label."""
    curves = {
        label: [(line["step"], line[name]) for line in log_history if name in line] for name, label in labels.items()
    }
    return {label: points for label, points in curves.items() if points}


def _legend_below(axes: Axes) -> None:
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def plot_thresholds(thresholds: np.ndarray, scores: dict[str, np.ndarray]) -> Figure:
    """Scores of multi-label predictions by the probability `(points,)` above which a label is predicted."""
    figure = new_figure(5.2, 4.2)
    axes = figure.subplots()
    for label, values in scores.items():
        axes.plot(thresholds, values, label=label)
    axes.axvline(0.5, color=rcParams["text.color"], linestyle="--", linewidth=0.9)
    axes.set(title="F1 by the threshold of all labels", xlabel="probability above which a label is given", ylim=(0, 1))
    _legend_below(axes)
    return figure


def plot_scope(known: np.ndarray, foreign: np.ndarray, cut: float) -> Figure:
    """Histograms of the largest logit of known and of out-of-scope texts, and the cut between them."""
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    edges = np.histogram_bin_edges(np.concatenate([known, foreign]), bins=40).tolist()
    for label, values in {"of a class": known, "out of scope": foreign}.items():
        axes.hist(values, edges, density=True, alpha=0.6, label=f"{label} ({len(values):,})")
    axes.axvline(cut, color=rcParams["text.color"], linewidth=1, linestyle="--", label="cut")
    axes.set(xlabel="largest logit", ylabel="density of texts")
    axes.legend()
    return figure


def plot_risk_coverage(curve: RiskCoverage) -> Figure:
    """Accuracy of the answers over the share of texts that are answered, the surest first."""
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    axes.plot(curve.coverage, curve.accuracy)
    axes.plot(curve.coverage[-1:], curve.accuracy[-1:], "o", label="all texts answered")
    axes.set(xlabel="share of texts that are answered", ylabel="accuracy of the answers", xlim=(0, 1.02))
    axes.legend(loc="lower left")
    return figure


def plot_reliability(panels: dict[str, ReliabilityBins]) -> Figure:
    """Reliability diagrams side by side, each with its title and, below, the number of texts in each bin."""
    figure = new_figure(0.6 + 3.6 * len(panels), 4.6)
    grid = figure.subplots(2, len(panels), height_ratios=[3, 1], sharex=True, sharey="row", squeeze=False)
    for (title, bins), (diagram, histogram) in zip(panels.items(), grid.T):
        bars = {"width": np.diff(bins.edges), "align": "edge", "color": "C0", "alpha": 0.85}
        diagram.bar(bins.edges[:-1], bins.accuracy, **bars)
        diagram.plot([0, 1], [0, 1], color=rcParams["text.color"], linewidth=1, linestyle="--", label="perfect")
        diagram.plot(bins.confidence, bins.accuracy, "o", color="C1", markersize=4, label="bin")
        diagram.set(title=f"{title}\ncalibration error {bins.calibration_error:.3f}", xlim=(0, 1), ylim=(0, 1))
        histogram.bar(bins.edges[:-1], bins.counts, **bars)
        histogram.set_xlabel("probability of the predicted class")
    grid[0, 0].set_ylabel("accuracy")
    grid[0, 0].legend(loc="upper left")
    grid[1, 0].set_ylabel("texts")
    return figure
