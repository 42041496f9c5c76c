"""Accuracy and F1, as a ready `compute_metrics`."""

from functools import cache
from typing import Any

import numpy as np
from transformers import EvalPrediction


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """
    Accuracy, macro F1 and weighted F1: a ready `compute_metrics` for the Trainer.

    Args:
        prediction (`EvalPrediction`): logits `(rows, num_labels)` and class ids `(rows,)`; or rows of 0 and 1
            `(rows, num_labels)` for several labels per text. A label is then predicted if its logit is above 0 (its
            probability above 0.5).

    Returns:
        `dict[str, float]`: `accuracy`, `macro_f1` and `weighted_f1`, each from 0 to 1. With several labels:
        `micro_f1`, `macro_f1`, `weighted_f1`, `subset_accuracy` (all labels of a text are right), `hamming_loss`
        (share of wrong decisions) and `mean_average_precision` (over the classes, independent of a threshold).

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
    logits, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    if labels.ndim == 2:
        return _summary("several").compute(predictions=logits, references=labels.astype(int))
    return _summary("one").compute(predictions=logits.argmax(axis=-1), references=labels)


@cache
def _summary(config_name: str) -> Any:
    from .classification_summary import ClassificationSummary  # evaluate and scikit-learn take seconds to import

    return ClassificationSummary(config_name, keep_in_memory=True)
