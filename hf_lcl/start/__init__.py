"""What happens to a classifier before the first step and after the last: nothing here goes on while it is trained."""

from .head import fit_head
from .mean_distillation import distill_mean


__all__ = ["distill_mean", "fit_head"]
