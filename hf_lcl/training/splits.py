"""Labels and class names of a trainer's data sets, and checks that they can be trained and evaluated on."""

from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from ..data.labels import check_labels, class_ids, label_names
from ..model.classes import are_placeholders, class_names, placeholders
from ..model.configuration import SEVERAL, LCLConfig
from ..training_args import ContrastiveTrainingArguments


class TrainingSet:
    """
    Rows of token ids with `labels` or `label`, and their classes and class counts, which are unknown for a stream.
    `names` are the class names for texts with several labels, since such a column cannot store them.

    Raises:
        ValueError: for rows without token ids, labels that are not class ids, or a single class.
    """

    def __init__(self, dataset: Any = None, names: list[str] | None = None):
        self.dataset = dataset
        self.labels = None if dataset is None else _checked_labels(dataset, "train_dataset")
        self.names = None if dataset is None else label_names(dataset)
        known = np.array([], dtype=int) if self.labels is None else self.labels
        if known.ndim == 2:
            self.classes = np.flatnonzero(known.any(axis=0))
            self.counts = known.sum(axis=0)[self.classes]
            self.names = names or None
        else:
            self.classes, self.counts = np.unique(known, return_counts=True)
        if len(self.classes) == 1:
            raise ValueError(
                f"train_dataset has a single class, {self.classes[0]}: at least two are needed to learn from."
            )

    @property
    def has_several_labels(self) -> bool:
        """Whether the labels are rows of 0 and 1, as far as they are known."""
        return self.labels is not None and self.labels.ndim == 2

    @property
    def class_names(self) -> list[str]:
        """The class names by id, as far as they are known, else placeholders; empty for a stream."""
        if self.labels is None:
            return self.names or []
        return self.names or placeholders(self.labels.shape[1] if self.has_several_labels else self.classes[-1] + 1)

    def class_weights(self, args: ContrastiveTrainingArguments, num_labels: int) -> list[float] | None:
        """The class weights that the arguments set, one number per class, if any."""
        return self.balanced_weights(num_labels) if isinstance(args.class_weights, str) else args.class_weights

    def balanced_weights(self, num_labels: int) -> list[float]:
        """
        Class weights inverse to class frequency; a class without texts has weight 1 and does not affect the others.
        With several labels per text, the ratio of texts without a label to texts with it (`pos_weight`).
        """
        weights = np.ones(num_labels)
        if self.labels is not None and self.labels.ndim == 2:
            weights[self.classes] = (len(self.labels) - self.counts).clip(min=1) / self.counts
            return weights.tolist()
        weights[self.classes] = self.counts.sum() / (len(self.classes) * self.counts)
        return weights.tolist()


def check_fit(labels: np.ndarray | None, config: LCLConfig, where: str) -> None:
    """
    Raises a `ValueError` if only one of data and model has several labels per text, or if labels are not class ids of
    the model.
    """
    if labels is not None and (labels.ndim == 2) != (config.problem_type == SEVERAL):
        kind = "several labels" if labels.ndim == 2 else "one label"
        right = SEVERAL if labels.ndim == 2 else "single_label_classification"
        raise ValueError(
            f"{where} has {kind} per text, but the model's problem_type is {config.problem_type!r}: write "
            f"problem_type={right!r} into the configuration of the classifier."
        )
    check_labels(labels, len(class_names(config)), where)


def check_evaluation_set(
    dataset: Any, config: LCLConfig, names: list[str] | None, where: str = "eval_dataset"
) -> None:
    """
    Checks before training that a model can be evaluated on a data set: rows, a stream, or a dict of them. `names` are
    the class names of the training set by id.

    Raises:
        ValueError: for rows without token ids or labels, labels that are not class ids of the model, or ids whose
            class names differ.
    """
    if isinstance(dataset, dict):
        for part, rows in dataset.items():
            check_evaluation_set(rows, config, names, f"{where}[{part!r}]")
    if dataset is None or isinstance(dataset, dict):
        return
    known = class_names(config)
    check_fit(_checked_labels(dataset, where), config, where)
    if names is None and not are_placeholders(known):
        names = known
    for label, (mine, other) in enumerate(zip(names or [], label_names(dataset) or [])):
        if mine != other:
            raise ValueError(
                f"{where} calls class {label} {other!r}, but the model learns it as {mine!r}: give both the same "
                "names in the same order, as hf_lcl.encode_labels does for all splits at once."
            )


def _checked_labels(dataset: Any, where: str) -> np.ndarray | None:
    is_stream = isinstance(dataset, IterableDataset)
    if not is_stream and not len(dataset):
        raise ValueError(f"{where} has no rows: leave it out.")
    columns = getattr(dataset, "column_names", None) if is_stream else list(dataset[0])
    if columns is not None and not {"input_ids", "inputs_embeds"} & set(columns):
        raise ValueError(
            f"{where} has the columns {', '.join(columns)} but no token ids: run hf_lcl.tokenize_texts(splits, "
            "tokenizer) on it first."
        )
    try:
        return None if is_stream else class_ids(dataset)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
