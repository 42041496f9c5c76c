"""Evaluation of a finished classifier: metrics, confused classes, relations of classes, and calibration."""

from typing import TYPE_CHECKING

from ..support.lazy import lazy_exports


if TYPE_CHECKING:
    from .calibration import (
        ReliabilityBins,
        expected_calibration_error,
        fit_temperature,
        fold_temperature,
        reliability_bins,
    )
    from .confusion import ConfusedPair, confused_pairs, per_class_table
    from .metrics import classification_metrics
    from .relations import ClassTree, class_tree, closest_pairs, label_relations

__all__ = [
    "ClassTree",
    "ConfusedPair",
    "ReliabilityBins",
    "class_tree",
    "classification_metrics",
    "closest_pairs",
    "confused_pairs",
    "expected_calibration_error",
    "fit_temperature",
    "fold_temperature",
    "label_relations",
    "per_class_table",
    "reliability_bins",
]

# Lazy, since some of these need torch or scikit-learn, and the others can be used without.
__getattr__, __dir__ = lazy_exports(__name__, __file__)
