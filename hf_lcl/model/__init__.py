"""The model: any encoder with its native classifier, and a weighting network beside it. Travels with checkpoints."""

from .configuration import LCLConfig
from .modeling import LCLForSequenceClassification
from .outputs import LCLOutput


__all__ = ["LCLConfig", "LCLForSequenceClassification", "LCLOutput"]
