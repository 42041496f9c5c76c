"""What a trainer knows of its data sets beside their rows, and whether they can be trained and evaluated on."""

from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from ..data.labels import check_labels, class_ids, label_names
from ..model.classes import class_names
from ..model.configuration import SEVERAL, LCLConfig
from ..training_args import ContrastiveTrainingArguments


class TrainingSet:
    """
    Rows of token ids with `labels` or `label`, and what the labels say; a stream does not tell them before it is read.
    `names` are those of the classes where texts have several labels, which no column can name.

    Raises:
        ValueError: for rows without token ids, labels that are no class ids, or a single class.
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

    def class_weights(self, args: ContrastiveTrainingArguments, num_labels: int) -> list[float] | None:
        """The weights of the classes that the arguments ask for, one number per class."""
        return self.balanced_weights(num_labels) if isinstance(args.class_weights, str) else args.class_weights

    def balanced_weights(self, num_labels: int) -> list[float]:
        """
        Inverse to the classes' shares; one without texts weighs 1, and no text is counted with it. Of several labels
        per text, how many texts lack a label for each one that has it (`pos_weight`).
        """
        weights = np.ones(num_labels)
        if self.labels is not None and self.labels.ndim == 2:
            weights[self.classes] = (len(self.labels) - self.counts).clip(min=1) / self.counts
            return weights.tolist()
        weights[self.classes] = self.counts.sum() / (len(self.classes) * self.counts)
        return weights.tolist()


def check_fit(labels: np.ndarray | None, config: LCLConfig, where: str) -> None:
    """
    Raises a `ValueError` for one label per text where the model gives several, for the other way round, and for labels
    that are no ids of its classes.
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
    Refuses what a model cannot be evaluated on, before training and not after an epoch: rows, a stream, or a dict of
    them. `names` are those of the training set's classes by id.

    Raises:
        ValueError: for rows without token ids or labels, labels that are no ids of the model's classes, or ids that
            stand for other classes.
    """
    if isinstance(dataset, dict):
        for part, rows in dataset.items():
            check_evaluation_set(rows, config, names, f"{where}[{part!r}]")
    if dataset is None or isinstance(dataset, dict):
        return
    known = class_names(config)
    check_fit(_checked_labels(dataset, where), config, where)
    if names is None and not all(name.startswith("LABEL_") for name in known):
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
    columns = getattr(dataset, "column_names", None if is_stream else list(dataset[0]))
    if columns is not None and not {"input_ids", "inputs_embeds"} & set(columns):
        raise ValueError(
            f"{where} has the columns {', '.join(columns)} but no token ids: run hf_lcl.tokenize_texts(splits, "
            "tokenizer) on it first."
        )
    try:
        return None if is_stream else class_ids(dataset)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
