"""Batches beyond what one pass on one device can hold: mini-batches, and the batch of all processes."""

from .candidates import gather_candidates
from .gather import gather_rows
from .gradient_cache import GradientCache


__all__ = ["GradientCache", "gather_candidates", "gather_rows"]
