"""How good a classifier is along its training, by the seconds that it took to get there."""

import time
from collections.abc import Callable

import numpy as np
from transformers import TrainerCallback


class Curve:
    """
    Seconds of the processor against accuracy. What it takes to find out the accuracy does not count.

    Args:
        labels (`np.ndarray` of shape `(texts,)`): class ids of the texts that are looked at.
    """

    def __init__(self, labels: np.ndarray):
        self.points: list[tuple[float, float]] = []
        self._labels = labels
        self._start = time.process_time()

    def add(self, predict: Callable[[], np.ndarray]) -> None:
        """
        One more point.

        Args:
            predict (`Callable[[], np.ndarray]`): gives the class ids as the classifier is now.
        """
        now = time.process_time()
        accuracy = float((predict() == self._labels).mean())
        self.points.append((round(now - self._start, 2), round(accuracy, 4)))
        self._start += time.process_time() - now


class AfterEachEpoch(TrainerCallback):
    """
    A point of a curve at the end of each epoch of a Trainer.

    Args:
        curve ([`Curve`]): where to add it.
        predict (`Callable[[], np.ndarray]`): as for [`~Curve.add`].
    """

    def __init__(self, curve: Curve, predict: Callable[[], np.ndarray]):
        self._curve, self._predict = curve, predict

    def on_epoch_end(self, *args, **kwargs) -> None:
        """Looks at the texts."""
        self._curve.add(self._predict)
