"""A study that several processes share, and what it found."""

from ..training.search_metric import validation_metric
from ..training.search_spaces import paper_grid, paper_space, wide_space
from .study import SharedStudy


__all__ = ["SharedStudy", "paper_grid", "paper_space", "validation_metric", "wide_space"]
