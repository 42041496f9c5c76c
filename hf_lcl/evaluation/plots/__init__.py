# ruff: noqa: E402
"""Plots of a classifier. Each function draws one figure in one theme; `save_picture` writes it in both."""

from ...support.extras import load_extra


load_extra("matplotlib", extra="plots")

from .curves import plot_training_curves
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
    "plot_training_curves",
    "project",
    "save_picture",
]
