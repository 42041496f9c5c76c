"""Accuracy and F1, as a ready `compute_metrics`."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from transformers import EvalPrediction


if TYPE_CHECKING:
    from .classification_summary import ClassificationSummary


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """
    Accuracy, macro F1 and weighted F1: a ready `compute_metrics` for the Trainer.

    Args:
        prediction (`EvalPrediction`): logits `(rows, num_labels)` and class ids `(rows,)`.

    Returns:
        `dict[str, float]`: `accuracy`, `macro_f1` and `weighted_f1`, each from 0 to 1.

    Example:

    ```python
    >>> import numpy as np
    >>> from transformers import EvalPrediction
    >>> from hf_lcl import classification_metrics

    >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    >>> classification_metrics(EvalPrediction(logits, np.array([0, 1, 1, 0])))["accuracy"]
    0.75
    ```
    """
    predicted = np.asarray(prediction.predictions).argmax(axis=-1)
    return _summary().compute(predictions=predicted, references=prediction.label_ids)


@cache
def _summary() -> "ClassificationSummary":
    from .classification_summary import ClassificationSummary  # evaluate and scikit-learn take seconds to import

    return ClassificationSummary(keep_in_memory=True)
