"""Accuracy and F1 as one module of `evaluate`, for one label per text and for several."""

from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, hamming_loss


class ClassificationSummary(evaluate.Metric):
    """
    Accuracy and F1 of predicted class ids, computed by scikit-learn. A class without a prediction has F1 0. With the
    configuration `"several"`, texts have any number of labels.
    """

    def _info(self) -> evaluate.MetricInfo:
        ids, logits = datasets.Value("int64"), datasets.Value("float64")
        features = {"predictions": ids, "references": ids}
        if self.config_name == "several":
            features = {"predictions": datasets.List(logits), "references": datasets.List(ids)}
        return evaluate.MetricInfo(
            description="Accuracy, macro F1 and weighted F1 of text classification.",
            citation="",
            inputs_description="predictions and references: class ids, one per text; or logits and rows of 0 and 1.",
            features=datasets.Features(features),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        if self.config_name == "several":
            return _of_several_labels(np.asarray(predictions), np.asarray(references))
        accuracy = float(accuracy_score(references, predictions))
        return {"accuracy": accuracy} | _f1(predictions, references, "macro", "weighted")


def _f1(predictions: Any, references: Any, *averages: str) -> dict[str, float]:
    return {f"{name}_f1": float(f1_score(references, predictions, average=name, zero_division=0)) for name in averages}


def _of_several_labels(logits: np.ndarray, references: np.ndarray) -> dict[str, float]:
    predictions = (logits > 0).astype(int)
    present = references.any(axis=0)  # the average precision of a class without texts is not defined
    precisions = average_precision_score(references[:, present], logits[:, present], average=None)
    return _f1(predictions, references, "micro", "macro", "weighted") | {
        "subset_accuracy": float(accuracy_score(references, predictions)),
        "hamming_loss": float(hamming_loss(references, predictions)),
        "mean_average_precision": float(np.mean(precisions)) if present.any() else 0.0,
    }
