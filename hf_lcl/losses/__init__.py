"""
The losses: as functions (`functional`), as modules (`modules`), and joined with cross-entropy (`objective`).

Below the functions: input checks (`checks`), pairs and positives (`pairs`), and the pass over all pairs
(`log_ratios`), which takes one of two forms, `direct` or `blockwise`.
"""

from .functional import label_aware_contrastive_loss, supervised_contrastive_loss
from .modules import LCLLoss, SupConLoss
from .objective import Objective


__all__ = ["LCLLoss", "Objective", "SupConLoss", "label_aware_contrastive_loss", "supervised_contrastive_loss"]
