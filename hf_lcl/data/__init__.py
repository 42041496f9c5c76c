"""From a file to a batch: read, check the labels, tokenise, draw class-balanced batches, pad."""

from typing import TYPE_CHECKING

from ..support.lazy import lazy_exports


if TYPE_CHECKING:
    from .collator import ContrastiveDataCollator
    from .labels import encode_labels
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
    "load_splits",
    "summarize",
    "tokenize_texts",
]

# Lazy, since some of these import torch, which reading files does not need.
__getattr__, __dir__ = lazy_exports(__name__, __file__)
