"""Batches beyond what one pass on one device can hold: more processes, mini-batches, a queue of past embeddings."""

from .gather import gather_rows
from .gradient_cache import GradientCache
from .pool import CandidatePool
from .queue import EmbeddingQueue, FreshQueue


__all__ = ["CandidatePool", "EmbeddingQueue", "FreshQueue", "GradientCache", "gather_rows"]
