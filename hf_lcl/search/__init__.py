"""Which settings serve best: spaces to search, a study that several processes share, and what it found."""

from .metric import validation_metric
from .spaces import paper_grid, paper_space, wide_space
from .study import SharedStudy
from .trainer import SearchingTrainer


__all__ = ["SearchingTrainer", "SharedStudy", "paper_grid", "paper_space", "validation_metric", "wide_space"]
