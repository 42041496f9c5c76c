"""Batches larger than one pass on one device can hold: mini-batches, and the batch of all processes."""

from .gather import gather_candidates
from .gradient_cache import GradientCache


__all__ = ["GradientCache", "gather_candidates"]
