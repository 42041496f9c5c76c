"""What happens to a classifier before the first step and after the last: nothing here goes on while it is trained."""

from .head import fit_head
from .mean_distillation import distill_mean
from .trainer import FittingTrainer, Start, distills_mean, fits_head


__all__ = ["FittingTrainer", "Start", "distill_mean", "distills_mean", "fit_head", "fits_head"]
