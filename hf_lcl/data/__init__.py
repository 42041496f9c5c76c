"""From a file to a batch: read, check the labels, tokenise, draw class-balanced batches, pad."""

from .collator import ContrastiveDataCollator
from .labels import encode_labels, label_column
from .loading import load_splits
from .repeats import drop_conflicts
from .sampler import LabelBalancedSampler
from .streaming import balance_stream
from .summary import summarize
from .tokenizing import tokenize_texts


__all__ = [
    "ContrastiveDataCollator",
    "LabelBalancedSampler",
    "balance_stream",
    "drop_conflicts",
    "encode_labels",
    "label_column",
    "load_splits",
    "summarize",
    "tokenize_texts",
]
