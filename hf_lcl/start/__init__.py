"""Steps before and after training: embedding texts, distilling the mean, fitting and editing the last layer."""

from .head import fit_head
from .mean_distillation import distill_mean
from .mean_embeddings import mean_embeddings


__all__ = ["distill_mean", "fit_head", "mean_embeddings"]
