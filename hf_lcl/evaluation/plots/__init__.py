"""Pictures of a classifier. Each function draws one figure in one of the two themes; `save_picture` writes both."""

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
