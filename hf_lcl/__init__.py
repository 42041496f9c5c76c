"""
Label-aware and supervised contrastive fine-tuning for text classifiers, as an extension of the Hugging Face Trainer.

The path of a text through the package: `data` (file, labels, tokens, class-balanced batch) -> `model` (one forward
pass) -> `losses` (the parts of the loss) -> `trainer` (a step) -> `hub` (a standard classifier and its card).
"""

from typing import TYPE_CHECKING

from .support.auto_classes import register_when_imported
from .support.lazy import lazy_exports
from .support.version import __version__


if TYPE_CHECKING:
    from .data import ContrastiveDataCollator, LabelBalancedSampler, encode_labels, load_splits, tokenize_texts
    from .evaluation import classification_metrics
    from .losses import LCLLoss, SupConLoss, label_aware_contrastive_loss, supervised_contrastive_loss
    from .model.configuration import LCLConfig
    from .model.modeling import LCLForSequenceClassification
    from .model.outputs import LCLOutput
    from .trainer import ContrastiveTrainer
    from .training.recipe import recommended_settings
    from .training_args import ContrastiveTrainingArguments

__all__ = [
    "ContrastiveDataCollator",
    "ContrastiveTrainer",
    "ContrastiveTrainingArguments",
    "LCLConfig",
    "LCLForSequenceClassification",
    "LCLLoss",
    "LCLOutput",
    "LabelBalancedSampler",
    "SupConLoss",
    "__version__",
    "classification_metrics",
    "encode_labels",
    "label_aware_contrastive_loss",
    "load_splits",
    "recommended_settings",
    "supervised_contrastive_loss",
    "tokenize_texts",
]

register_when_imported()
__getattr__, __dir__ = lazy_exports(__name__, __file__)
