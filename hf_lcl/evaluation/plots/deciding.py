"""What tells texts of the classes from others, and what is right among the surest answers."""

import numpy as np
from matplotlib.figure import Figure

from ..selective import RiskCoverage
from .theme import Theme, new_figure


def plot_scope(known: np.ndarray, foreign: np.ndarray, cut: float, theme: Theme) -> Figure:
    """Histograms of the largest logit of texts of the classes and of others, and the cut between them."""
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    edges = np.histogram_bin_edges(np.concatenate([known, foreign]), bins=40).tolist()
    for values, color, label in ((known, 0, "of a class"), (foreign, 1, "out of scope")):
        axes.hist(
            values, edges, density=True, color=theme.colors[color], alpha=0.6, label=f"{label} ({len(values):,})"
        )
    axes.axvline(cut, color=theme.text, linewidth=1, linestyle="--", label="cut")
    axes.set(xlabel="largest logit", ylabel="density of texts")
    axes.legend()
    return figure


def plot_risk_coverage(curve: RiskCoverage, theme: Theme) -> Figure:
    """Accuracy of the answers over the share of texts that are answered, the surest first."""
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    axes.plot(curve.coverage, curve.accuracy, color=theme.colors[0])
    axes.plot(curve.coverage[-1:], curve.accuracy[-1:], "o", color=theme.colors[1], label="all texts answered")
    axes.set(xlabel="share of texts that are answered", ylabel="accuracy of the answers", xlim=(0, 1.02))
    axes.legend(loc="lower left")
    return figure
