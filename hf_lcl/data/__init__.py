"""From a file to a batch: read, check the labels, tokenise, draw class-balanced batches, pad."""

from .collator import ContrastiveDataCollator
from .labels import encode_labels, label_column
from .preprocessing import tokenize_texts
from .reading import load_splits
from .sampler import LabelBalancedSampler


__all__ = [
    "ContrastiveDataCollator",
    "LabelBalancedSampler",
    "encode_labels",
    "label_column",
    "load_splits",
    "tokenize_texts",
]
