"""Class names as training texts."""

from collections.abc import Collection
from copy import deepcopy
from typing import Any

import numpy as np
from datasets import Dataset, Features, concatenate_datasets
from torch.utils.data import ConcatDataset
from transformers import PreTrainedTokenizerBase

from ..data.cells import LABEL_NAMES
from ..data.labels import label_column


def words_of_names(id2label: dict[int, str]) -> dict[int, str]:
    """The class names with blanks for underscores, without uninformative ones (`"LABEL_3"`, `"3"`)."""
    words = {label: name.replace("_", " ") for label, name in id2label.items() if name != f"LABEL_{label}"}
    return {label: name for label, name in words.items() if any(map(str.isalpha, name))}


def names_as_texts(
    dataset: Any, id2label: dict[int, str], tokenizer: PreTrainedTokenizerBase | None, inputs: Collection[str] = ()
) -> list[dict[str, Any]]:
    """
    The [`words_of_names`] as further rows of a tokenised data set: its labels, and those of its columns that a
    tokenizer makes. None without a tokenizer, or if other `inputs` of the model are among the columns, or lists of a
    fixed length.
    """
    features = dataset.features.values() if isinstance(dataset, Dataset) else ()
    if tokenizer is None or any(getattr(feature, "length", -1) != -1 for feature in features):
        return []
    first = dataset[0]
    column = label_column(list(first))
    tokenizer = deepcopy(tokenizer)  # a call changes the settings that are saved with it
    labels = np.eye(len(id2label)) if np.ndim(first[column]) else np.arange(len(id2label))
    words = words_of_names(id2label).items()
    rows = [{**tokenizer(name), column: labels[label].tolist()} for label, name in words]
    if rows and first.keys() & inputs - rows[0].keys() - {*LABEL_NAMES}:
        return []
    return [{key: value for key, value in row.items() if key in first} for row in rows]


def with_names(dataset: Any, names: list[dict[str, Any]]) -> Any:
    """
    A tokenised data set with its [`names_as_texts`] as further rows. A `datasets.Dataset` stays one; if it computes
    its rows by a transform, it is returned as it is.
    """
    if not names or (isinstance(dataset, Dataset) and dataset.format["type"] == "custom"):
        return dataset
    if not isinstance(dataset, Dataset):
        return ConcatDataset([dataset, names])  # type: ignore[list-item]
    table = Dataset.from_list(names, features=Features({key: dataset.features[key] for key in names[0]}))
    given = dict(dataset.format)
    whole = concatenate_datasets([dataset.with_format(None), table])
    return whole.with_format(**given.pop("format_kwargs"), **given)
