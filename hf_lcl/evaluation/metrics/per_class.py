"""Precision, recall, F1 and support of each class as one module of `evaluate`."""

import datasets
import evaluate
from sklearn.metrics import precision_recall_fscore_support


class PerClass(evaluate.Metric):
    """Precision, recall, F1 and support of each class, computed by scikit-learn; lists in the order of the ids."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Precision, recall, F1 and support of each class.",
            citation="",
            inputs_description="predictions and references: class ids, one per text; num_labels: number of classes.",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions: list[int], references: list[int], num_labels: int) -> dict[str, list]:
        columns = precision_recall_fscore_support(
            references, predictions, labels=list(range(num_labels)), zero_division=0
        )
        return dict(zip(("precision", "recall", "f1", "support"), (column.tolist() for column in columns)))
