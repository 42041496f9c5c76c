"""Class names and class ids: inferred from the training split, checked in all others."""

import re
import unicodedata
from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, IterableDataset, IterableDatasetDict, List, Value
from transformers.utils import logging

from ..support.likely import did_you_mean
from .cells import LABEL_NAMES, lacks, listed
from .loading import as_splits, place, title_of
from .several_labels import FLOAT, holds_lists, indicator_rows, label_lists, read_written_lists


logger = logging.get_logger(__name__)


def encode_labels(
    splits: Any,
    label_column: str = "label",
    names: list[str] | None = None,
    several: bool | None = None,
) -> tuple[Any, list[str]]:
    """
    Encodes a column of class names or ids as a `ClassLabel` column `labels`, and a column of lists of labels (several
    per text, or none) as indicator rows with 0.0 or 1.0 for each class.

    Names are sorted; if all labels of all splits are ids (`str(int(label)) == label`), they are sorted by number.
    `ClassLabel` columns keep their names, and ids 0, 1, 2, ... their values. Lists may be written as text, as pandas
    writes them into a csv (`"['joy', 'anger']"`). Other columns named `label`, `labels` or `label_ids`
    are dropped, and the column itself where all labels of a test or validation split are empty or -1.

    Args:
        splits (`datasets.DatasetDict`): the classes are those of `"train"`, or of the first split if there is no
            `"train"`. Or anything that [`load_splits`] takes, as a dict of splits or a single data set.
        label_column (`str`, *optional*, defaults to `"label"`): strings, integers, booleans or a `ClassLabel`.
        names (`list[str]`, *optional*): class names by id, if a trained model has them already.
        several (`bool`, *optional*): whether texts have several labels, if a trained model determines it; defaults to
            whether the column holds lists.

    Returns:
        `tuple[datasets.DatasetDict, list[str]]`: the splits with a `labels` column (a `datasets.Dataset` for a single
        data set), and the class names by id.

    Raises:
        ValueError: for a missing column, labels that are floats or null, a single class, or a label that does not
            occur in the training split; with several labels per text, for a repeated label in a row, and a class
            without texts. Names the row or line and the label. For all streams, whose labels are not known in advance.

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
    splits, is_alone = as_splits(splits)
    if isinstance(splits, IterableDatasetDict):
        raise ValueError(
            "encode_labels reads all labels to find the classes, and a stream is read while it is trained on: write "
            f"splits.map(lambda row: {{'labels': names.index(row[{label_column!r}])}}), with names=[...] in order."
        )
    splits = DatasetDict({split: read_written_lists(dataset, label_column) for split, dataset in splits.items()})
    reference, known = "train" if "train" in splits else next(iter(splits)), "the classes of the model"
    if several is None:
        several = holds_lists(splits[reference], label_column)
    read = label_lists if several else _single_labels
    found = {
        split: read(dataset, split, label_column)
        for split, dataset in splits.items()
        if label_column in dataset.column_names
    }
    occurring = {split: {*chain.from_iterable(labels)} for split, labels in found.items()}
    if names is None:
        title = title_of(splits[reference], reference)
        if reference not in found:
            columns = splits[reference].column_names
            raise ValueError(lacks(title, "label column", label_column, columns, "Name it with label_column."))
        feature, known = splits[reference].features[label_column], f"the {reference} split"
        names = _class_names(occurring, reference, title, feature.feature if several else feature)
        if several and (absent := sorted({*names} - occurring[reference])):
            raise ValueError(
                f"{title} has no text with the label {absent[0]!r}, so that it cannot be learned: leave the label "
                "out, or add texts that have it."
            )
    ids, encoded = {name: index for index, name in enumerate(names)}, DatasetDict()
    for split, dataset in splits.items():
        # The Trainer would take other columns of these names for the labels.
        others = [name for name in dataset.column_names if name in (*LABEL_NAMES, label_column)]
        encoded[split] = dataset.remove_columns(others)
        if split not in found:
            continue
        if split != "train" and occurring[split] <= {"", "-1"} - set(names):
            logger.warning(f"The {split} split has no labels in column {label_column!r}: no metrics.")
            continue
        if unknown := occurring[split] - ids.keys():
            row, label = next((n, label) for n, some in enumerate(found[split]) for label in some if label in unknown)
            alike = [_difference(label, name) for name in names if _plain(name) == _plain(label)]
            raise ValueError(
                f"{place(dataset, row, split)}: label {label!r} does not occur in {known}"
                f"{f' (it looks {alike[0]})' if alike else ''}; the labels are {listed(names)}. "
                f"{'' if alike else did_you_mean(label, names)}".rstrip()
            )
        if several:
            rows, feature = np.zeros((len(dataset), len(names)), np.float32), List(Value("float32"), length=len(names))
            for row, labels in enumerate(found[split]):
                rows[row, [ids[label] for label in labels]] = 1
            encoded[split] = encoded[split].add_column("labels", list(rows), feature=feature)
        else:
            column = [ids[label] for (label,) in found[split]]
            encoded[split] = encoded[split].add_column("labels", column, feature=ClassLabel(names=names))
    return encoded["train"] if is_alone else encoded, names


def _single_labels(dataset: Dataset, split: str, column: str) -> list[list[str]]:
    """The label of each text, as a string; a test or validation split without labels gives `""` or `"-1"` for all."""
    feature, values = dataset.features[column], dataset.with_format(None)[column][:]
    if all(value is None or value == -1 or not str(value).strip() for value in values) and split != "train":
        return [["-1" if value == -1 else ""] for value in values]
    for row, value in enumerate(values):
        if fault := _fault(value, values[0], feature):
            raise ValueError(f"{place(dataset, row, split)}: label {value!r} {fault}.")
    return [[name] for name in (feature.int2str(values) if isinstance(feature, ClassLabel) else map(str, values))]


def _fault(value: Any, first: Any, feature: Any) -> str:
    """What is wrong with a label, if anything."""
    if value is None or not str(value).strip():
        return "is empty. Give every row a label, or remove the row"
    if isinstance(value, list | tuple | dict):
        return "holds several values, where one label is expected"
    if isinstance(value, float):
        return "is a float: use class names or integers (regression is not supported)"
    if isinstance(feature, ClassLabel) and not 0 <= value < feature.num_classes:
        return f"has no name; the labels are {listed(feature.names)}"
    return f"is of another type than {first!r}: use names or ids throughout" * (type(value) is not type(first))


def _class_names(occurring: dict[str, set[str]], split: str, title: str, feature: Any) -> list[str]:
    """The names of a `ClassLabel` column, else all labels of a split, sorted; by number if all splits hold ids."""
    present = occurring[split]
    if not present:
        raise ValueError(f"{title} has no labels: there is no class to learn.")
    if len(present) < 2:
        raise ValueError(f"{title} has a single class, {next(iter(present))!r}: at least two are needed.")
    if isinstance(feature, ClassLabel):
        return feature.names
    if all(FLOAT.fullmatch(label) for label in present):
        raise ValueError(
            f"{title} has the labels {listed(sorted(present), 3)}, and each is a float: use class names or "
            "integers (regression is not supported)."
        )
    seen: dict[str, str] = {}
    firsts = [(label, seen.setdefault(_plain(label), label)) for label in sorted(present)]
    if alike := [f"{label!r} {_difference(label, first)}" for label, first in firsts if label != first]:
        logger.warning(f"{title} has classes that look alike: {'; '.join(alike[:5])}.")
    every = set().union(*occurring.values()) - {""}
    return sorted(present, key=int if all(re.fullmatch(r"0|-?[1-9][0-9]*", label) for label in every) else None)


def _plain(label: str) -> str:
    """A label as it looks to a reader: without case, extra blanks and characters of no width."""
    letters = (letter for letter in unicodedata.normalize("NFKC", label) if unicodedata.category(letter) != "Cf")
    return " ".join("".join(letters).casefold().split())


def _difference(label: str, twin: str) -> str:
    """How a label differs from one that looks the same."""
    if label.casefold() == twin.casefold() and len(label) == len(twin):
        return f"like {twin!r}, but for capitals"
    here, there = Counter(label), Counter(twin)
    names = (unicodedata.name(letter, repr(letter)) for letter in [*(here - there), *(there - here)])
    return f"like {twin!r}, but for {', '.join(names)}"


def class_ids(dataset: Any) -> np.ndarray:
    """
    The column `labels` or `label` of a tokenised data set (no stream), read without its texts: class ids of shape
    `(rows,)` and dtype int64, or, with several labels per text, indicator rows `(rows, classes)` of dtype bool. Raises
    a `ValueError` if there is no such column, or it holds anything but integers or rows of 0 and 1.
    """
    if isinstance(dataset, Dataset):
        name = label_column(dataset.column_names)
        values = dataset.with_format("numpy")[name][:]
    else:
        name = label_column(list(dataset[0]))
        values = [dataset[row][name] for row in range(len(dataset))]
    if len(values) and np.ndim(values[0]) > 0:
        return indicator_rows(values, name)
    labels = np.asarray(values)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Column {name!r} holds {labels.dtype.name} values, for example {values[0]}: class ids must be integers. "
            "hf_lcl.encode_labels turns class names into ids."
        )
    return labels.astype(np.int64)


def check_labels(labels: np.ndarray | None, num_labels: int, where: str) -> None:
    """Raises a `ValueError` for labels that are not classes of the model; `where` names their source."""
    if labels is None:
        return
    if labels.ndim == 2 and labels.shape[1] != num_labels:
        raise ValueError(f"{where} holds rows of {labels.shape[1]} labels, but the model has num_labels={num_labels}.")
    wrong = labels[(labels < 0) | (labels >= num_labels)]
    if len(wrong):
        raise ValueError(
            f"{where} holds label {wrong[0]}, but the model has num_labels={num_labels}: give it as many classes as "
            "the data has, and number them from 0."
        )


def label_names(dataset: Any) -> list[str] | None:
    """The class names of a data set or a stream whose label column is a known `ClassLabel`, else `None`."""
    if not isinstance(dataset, Dataset | IterableDataset) or dataset.features is None:
        return None
    feature = dataset.features[label_column(dataset.column_names)]
    return feature.names if isinstance(feature, ClassLabel) else None


def label_column(columns: list[str]) -> str:
    """The column with class ids; a `ValueError` if there is none."""
    for name in ("labels", "label"):
        if name in columns:
            return name
    raise ValueError(f"The data set has no column 'labels' or 'label'; its columns are {', '.join(columns)}.")
