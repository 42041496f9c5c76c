"""Class names and class ids: inferred from the training split, checked in every other."""

from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, IterableDataset, IterableDatasetDict


def encode_labels(
    splits: DatasetDict, label_column: str = "label", names: list[str] | None = None
) -> tuple[DatasetDict, list[str]]:
    """
    Turns a column of class names or ids into a `ClassLabel` column `labels`.

    Names are sorted; ids keep their order. `ClassLabel` columns keep their names, and ids 0, 1, 2, ... keep their
    values. Splits without the column (a test split to be predicted) are left as they are.

    Args:
        splits (`datasets.DatasetDict`): the classes are those of `"train"`, or of the first split where it is missing.
        label_column (`str`, *optional*, defaults to `"label"`): strings, integers, booleans or a `ClassLabel`.
        names (`list[str]`, *optional*): class names by id, where a trained model already knows them.

    Returns:
        `tuple[datasets.DatasetDict, list[str]]`: the splits with a `labels` column, and the class names by id.

    Raises:
        ValueError: for a missing column, labels that are floats, lists or null, a single class, or a label that does
            not occur in the training split; says which column, row and label. For streams, whose labels cannot be
            looked through.

    Example:

    ```python
    >>> from datasets import Dataset, DatasetDict
    >>> from hf_lcl import encode_labels

    >>> train = Dataset.from_dict({"text": ["It broke.", "Lovely!"], "label": ["sad", "glad"]})
    >>> splits, names = encode_labels(DatasetDict(train=train))
    >>> names, splits["train"]["labels"][:]
    (['glad', 'sad'], [1, 0])
    ```
    """
    if isinstance(splits, IterableDatasetDict):
        raise ValueError(
            "encode_labels reads all labels to find the classes, and a stream is read while it is trained on: write "
            f"splits.map(lambda row: {{'labels': names.index(row[{label_column!r}])}}), with names=[...] in order."
        )
    known = "the names that were given"
    reference = "train" if "train" in splits else next(iter(splits))
    if names is None:
        if label_column not in splits[reference].column_names:
            raise ValueError(
                f"The {reference} split has no label column {label_column!r}; its columns are "
                f"{', '.join(splits[reference].column_names)}. Name it with label_column_name."
            )
        names = _class_names(splits[reference], reference, label_column)
        known = f"the {reference} split"
    ids = {name: index for index, name in enumerate(names)}
    encoded = DatasetDict()
    for split, dataset in splits.items():
        # The Trainer would take another column of either name for the labels.
        others = {"label", "labels"} & set(dataset.column_names) - {label_column}
        dataset = dataset.remove_columns(list(others))
        if label_column in dataset.column_names:
            values = _label_values(dataset, split, label_column)
            for row, value in enumerate(values):
                if str(value) not in ids:
                    raise ValueError(
                        f"The {split} split, row {row}: label {value!r} does not occur in {known}; the labels are "
                        f"{', '.join(names)}."
                    )
            column = [ids[str(value)] for value in values]
            dataset = dataset.remove_columns(label_column).add_column("labels", column)
            dataset = dataset.cast_column("labels", ClassLabel(names=names))
        encoded[split] = dataset
    return encoded, names


def _class_names(dataset: Dataset, split: str, column: str) -> list[str]:
    """The names of a `ClassLabel` column, else all values in order, as text."""
    feature, present = dataset.features[column], sorted(set(_label_values(dataset, split, column)))
    if not present:
        raise ValueError(f"The {split} split has no rows: there is no class to learn.")
    if len(present) < 2:
        raise ValueError(f"The {split} split has a single class, {str(present[0])!r}: there is nothing to tell apart.")
    return feature.names if isinstance(feature, ClassLabel) else [str(value) for value in present]


def _label_values(dataset: Dataset, split: str, column: str) -> list[str | int | bool]:
    """The labels of a split (names for a `ClassLabel` column), none of which is null, a float or a list."""
    feature, values = dataset.features[column], dataset.with_format(None)[column][:]
    for row, value in enumerate(values):
        where = f"The {split} split, row {row}: label {value!r}"
        if value is None or not str(value).strip():
            raise ValueError(f"{where} is empty. Give every row a label, or remove the row.")
        if isinstance(value, (list, tuple, dict)):
            raise ValueError(f"{where} holds several values: multi-label classification is not supported yet.")
        if isinstance(value, float):
            raise ValueError(f"{where} is a float: use class names or integers (regression is not supported).")
        if isinstance(feature, ClassLabel) and not 0 <= value < feature.num_classes:
            raise ValueError(f"{where} has no name; the labels are {', '.join(feature.names)}.")
        if type(value) is not type(values[0]):
            raise ValueError(f"{where} is of another type than {values[0]!r} before it: use names or ids throughout.")
    return feature.int2str(values) if isinstance(feature, ClassLabel) else values


def label_column(dataset: Any) -> np.ndarray | None:
    """
    The class ids of a tokenised training set, read without touching its texts.

    Args:
        dataset (`datasets.Dataset` or a map-style `torch.utils.data.Dataset`): rows with `labels` or `label`.

    Returns:
        `np.ndarray` of shape `(rows,)` and dtype int64, or `None` for data that can only be streamed.

    Raises:
        ValueError: for rows without a label, float labels or several labels in a row.
    """
    if isinstance(dataset, torch.utils.data.IterableDataset):
        return None
    if isinstance(dataset, Dataset):
        name = _label_name(dataset.column_names)
        values = dataset.select_columns(name).with_format("numpy")[name][:]
    else:
        name = _label_name(list(dataset[0]))
        values = [dataset[row][name] for row in range(len(dataset))]
    several = [row for row, value in enumerate(values) if np.ndim(value) > 0]
    if several:
        raise ValueError(
            f"Column {name!r}, row {several[0]} holds several labels: multi-label classification is not supported yet."
        )
    labels = np.asarray(values)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Column {name!r} holds {labels.dtype.name} values, for example {values[0]}: class ids must be integers. "
            "hf_lcl.encode_labels turns class names into ids."
        )
    return labels.astype(np.int64)


def label_names(dataset: Any) -> list[str] | None:
    """The class names of a data set, or a stream, whose label column is known to be a `ClassLabel`, else `None`."""
    if not isinstance(dataset, Dataset | IterableDataset) or dataset.features is None:
        return None
    feature = dataset.features[_label_name(dataset.column_names)]
    return feature.names if isinstance(feature, ClassLabel) else None


def _label_name(columns: list[str]) -> str:
    for name in ("labels", "label"):
        if name in columns:
            return name
    raise ValueError(f"The data set has no column 'labels' or 'label'; its columns are {', '.join(columns)}.")
