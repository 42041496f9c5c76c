"""What a finished classifier is worth, and which classes it confuses."""

from .confusion import ConfusedPair, confused_pairs, per_class_table
from .metrics import classification_metrics


__all__ = ["ConfusedPair", "classification_metrics", "confused_pairs", "per_class_table"]
