"""The confidence of a classifier against its accuracy."""

import numpy as np
from matplotlib.figure import Figure

from ..calibration import ReliabilityBins
from .theme import Theme, new_figure


def plot_reliability(panels: dict[str, ReliabilityBins], theme: Theme) -> Figure:
    """Reliability diagrams side by side, each with its title and, below, the number of texts in each bin."""
    figure = new_figure(0.6 + 3.6 * len(panels), 4.6)
    grid = figure.subplots(2, len(panels), height_ratios=[3, 1], sharex=True, sharey="row", squeeze=False)
    for (title, bins), (diagram, histogram) in zip(panels.items(), grid.T):
        bars = {"width": np.diff(bins.edges), "align": "edge", "color": theme.colors[0], "alpha": 0.85}
        diagram.bar(bins.edges[:-1], bins.accuracy, **bars)
        diagram.plot([0, 1], [0, 1], color=theme.text, linewidth=1, linestyle="--", label="perfect")
        diagram.plot(bins.confidence, bins.accuracy, "o", color=theme.colors[1], markersize=4, label="bin")
        diagram.set(title=f"{title}\ncalibration error {bins.calibration_error:.3f}", xlim=(0, 1), ylim=(0, 1))
        histogram.bar(bins.edges[:-1], bins.counts, **bars)
        histogram.set_xlabel("probability of the predicted class")
    grid[0, 0].set_ylabel("accuracy")
    grid[0, 0].legend(loc="upper left")
    grid[1, 0].set_ylabel("texts")
    return figure
