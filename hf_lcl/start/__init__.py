"""Steps before and after training: distilling the mean, fitting the head, and editing the last layer."""

from .head import fit_head
from .mean_distillation import distill_mean


__all__ = ["distill_mean", "fit_head"]
