"""What a trainer knows of its data sets beside their rows, and whether they can be trained and judged on."""

from functools import cached_property
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from ..data.labels import label_column, label_names
from ..model.classes import class_names
from ..model.configuration import LCLConfig
from ..training_args import ContrastiveTrainingArguments


class TrainingSet:
    """
    The training set, and what its labels say; made anew for other rows.

    Args:
        dataset (*optional*): rows of token ids with `labels` or `label`, or a stream of them.

    Raises:
        ValueError: for rows without token ids, labels that are no class ids, or a single class.

    Example:

    ```python
    >>> from hf_lcl.training.splits import TrainingSet

    >>> rows = [{"input_ids": [2, 3], "labels": label} for label in (0, 0, 0, 1)]
    >>> TrainingSet(rows).balanced_weights(num_labels=2)
    [0.6666666666666666, 2.0]
    ```
    """

    def __init__(self, dataset: Any = None):
        self.dataset = dataset
        self.labels: np.ndarray | None = None  # of a stream nobody knows them
        self.names: list[str] | None = None
        if dataset is None:
            return
        self.labels, self.names = _checked_labels(dataset, "train_dataset"), label_names(dataset)
        if self.labels is not None and len(np.unique(self.labels)) < 2:
            raise ValueError(
                f"train_dataset has a single class, {self.labels[0]}: at least two are needed to learn from."
            )

    @cached_property
    def _class_sizes(self) -> np.ndarray:
        return np.bincount(self.labels)  # once: the weights are asked for in every step

    def class_weights(self, args: ContrastiveTrainingArguments, num_labels: int) -> list[float] | None:
        """The weights of the classes that the arguments ask for, one number per class."""
        return self.balanced_weights(num_labels) if args.class_weights == "balanced" else args.class_weights

    def balanced_weights(self, num_labels: int) -> list[float]:
        """Inverse to the classes' shares; one without texts weighs 1, and no text is counted with it."""
        counts = np.pad(self._class_sizes, (0, num_labels - len(self._class_sizes)))
        present = counts > 0
        return np.where(present, len(self.labels) / (present.sum() * counts.clip(min=1)), 1.0).tolist()


def check_evaluation_set(
    dataset: Any, config: LCLConfig, names: list[str] | None, where: str = "eval_dataset"
) -> None:
    """
    Whether a model can be judged by a data set, each part of a dict of them; before training, not after an epoch.

    Args:
        dataset: rows of token ids with `labels`, a stream of them, a dict of both, or `None`.
        config ([`LCLConfig`]): the model's.
        names (`list[str]`, *optional*): class names of the training set by id.
        where (`str`, *optional*, defaults to `"eval_dataset"`): what an error calls it.

    Raises:
        ValueError: for rows without token ids or labels, labels that are no ids of the model's classes, or ids that
            stand for other classes.
    """
    if isinstance(dataset, dict):
        for part, rows in dataset.items():
            check_evaluation_set(rows, config, names, f"{where}[{part!r}]")
    if dataset is None or isinstance(dataset, dict):
        return
    labels = _checked_labels(dataset, where)
    if labels is not None and len(labels) and not 0 <= labels.min() <= labels.max() < config.num_labels:
        wrong = labels[(labels < 0) | (labels >= config.num_labels)][0]
        raise ValueError(f"{where} holds label {wrong}, but the model has num_labels={config.num_labels}.")
    found = label_names(dataset) or []
    if names is None and not all(name.startswith("LABEL_") for name in config.id2label.values()):
        names = class_names(config)
    for label, (mine, its) in enumerate(zip(names or [], found)):
        if mine != its:
            raise ValueError(
                f"{where} calls class {label} {its!r}, but the model learns it as {mine!r}: give both the same names "
                "in the same order, as hf_lcl.encode_labels does for all splits at once."
            )


def _checked_labels(dataset: Any, where: str) -> np.ndarray | None:
    columns = getattr(dataset, "column_names", None)
    if columns is None and not isinstance(dataset, IterableDataset) and len(dataset):
        columns = list(dataset[0])
    if columns is not None and not {"input_ids", "inputs_embeds"} & set(columns):
        raise ValueError(
            f"{where} has the columns {', '.join(columns)} but no token ids: run hf_lcl.tokenize_texts(splits, "
            "tokenizer) on it first."
        )
    if not isinstance(dataset, IterableDataset) and not len(dataset):
        raise ValueError(f"{where} has no rows: leave it out.")
    try:
        return label_column(dataset)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
