"""Any sequence classifier of transformers, run by torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluation.finished import load_finished
from ..evaluation.inference import run_on_texts
from ..model.classes import class_names


class TorchClassifier:
    """
    A model that [`load_finished`] finds, which takes the same arguments. See [`OnnxClassifier`], which has the same
    methods.
    """

    def __init__(self, name: str, **options: Any):
        self.model, self.tokenizer = load_finished(name, **options)
        self.config: dict[str, Any] = self.model.config.text_config.to_dict()

    @property
    def names(self) -> list[str]:
        """Names of the classes, by id."""
        return class_names(self.model.config)

    @property
    def has_several_labels(self) -> bool:
        """Whether each class is decided by itself."""
        return self.config.get("problem_type") == "multi_label_classification"

    def logits(self, texts: Sequence[str | tuple[str, str]], **options: Any) -> np.ndarray:
        """The logits of texts or pairs of texts, of shape `(texts, num_labels)`, with the same options."""
        return run_on_texts(self.model, self.tokenizer, texts, **options).logits
