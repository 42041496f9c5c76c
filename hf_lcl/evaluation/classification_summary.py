"""Accuracy, macro F1 and weighted F1 as one module of `evaluate`."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score


class ClassificationSummary(evaluate.Metric):
    """Accuracy and F1 of predicted class ids, computed by scikit-learn. A class without a prediction has F1 0."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Accuracy, macro F1 and weighted F1 of single-label classification.",
            citation="",
            inputs_description="predictions and references: class ids, one per text.",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "macro_f1": float(f1_score(references, predictions, average="macro", zero_division=0)),
            "weighted_f1": float(f1_score(references, predictions, average="weighted", zero_division=0)),
        }
