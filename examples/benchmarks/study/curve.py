"""Accuracy of a classifier during its training, by CPU seconds."""

import time
from collections.abc import Callable

import numpy as np
from transformers import TrainerCallback


class Curve:
    """
    Accuracy by CPU seconds. The time of the evaluations is excluded.

    Args:
        labels (`np.ndarray` of shape `(texts,)`): class ids of the texts that are evaluated.
    """

    def __init__(self, labels: np.ndarray):
        self.points: list[tuple[float, float]] = []
        self._labels = labels
        self._start = time.process_time()

    def add(self, logits: Callable[[], np.ndarray]) -> None:
        """
        Adds a point.

        Args:
            logits (`Callable[[], np.ndarray]`): returns the present logits of the texts, `(texts, classes)`.
        """
        now = time.process_time()
        accuracy = float((logits().argmax(axis=1) == self._labels).mean())
        self.points.append((round(now - self._start, 2), round(accuracy, 4)))
        self._start += time.process_time() - now


class AfterEachEpoch(TrainerCallback):
    """
    Adds a point to a curve at the end of each epoch of a Trainer.

    Args:
        curve ([`Curve`]): the curve.
        logits (`Callable[[], np.ndarray]`): as for [`~Curve.add`].
    """

    def __init__(self, curve: Curve, logits: Callable[[], np.ndarray]):
        self._curve, self._logits = curve, logits

    def on_epoch_end(self, *args, **kwargs) -> None:
        """Evaluates the classifier."""
        self._curve.add(self._logits)
