# ruff: noqa: E402
"""
Plots of a classifier. Each function draws one figure in one theme; `save_picture` writes it in both.

They share these arguments: `names` (`list[str]`) are the class names by id; `order` (`list[int]`) are the class ids in
the order to draw, as in [`ClassTree`]; `theme` ([`Theme`]) has the colours.
"""

from ...support.extras import load_extra


load_extra("matplotlib", extra="plots")

from .curves import plot_thresholds, plot_training_curves
from .deciding import plot_risk_coverage, plot_scope
from .embedding_map import plot_embedding_map, project
from .matrices import plot_confusion_matrix, plot_label_relations
from .reliability import plot_reliability
from .theme import DARK, LIGHT, Theme, save_picture


__all__ = [
    "DARK",
    "LIGHT",
    "Theme",
    "plot_confusion_matrix",
    "plot_embedding_map",
    "plot_label_relations",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_scope",
    "plot_thresholds",
    "plot_training_curves",
    "project",
    "save_picture",
]
