"""Metrics as modules of `evaluate`, loaded from this folder: no network is asked."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers import EvalPrediction


if TYPE_CHECKING:
    from evaluate import EvaluationModule


@cache
def load_metric(name: str) -> "EvaluationModule":
    """
    A metric module of this folder.

    Args:
        name (`str`): `"classification_summary"` or `"per_class"`.

    Returns:
        `evaluate.EvaluationModule`: `compute(predictions=[...], references=[...])` with class ids.
    """
    import evaluate  # takes a second, which training need not wait for

    return evaluate.load(str(Path(__file__).parent / f"{name}.py"), keep_in_memory=True)


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
        >>> import numpy as np
    from transformers import EvalPrediction
        >>> from hf_lcl import classification_metrics

        >>> logits = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
        >>> classification_metrics(EvalPrediction(logits, np.array([0, 1, 1, 0])))["accuracy"]
        0.75
        ```
    """
    predicted = np.asarray(prediction.predictions).argmax(axis=-1)
    return load_metric("classification_summary").compute(predictions=predicted, references=prediction.label_ids)
