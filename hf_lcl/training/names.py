"""Class names as training texts."""

from copy import deepcopy
from typing import Any

import numpy as np
from datasets import Dataset, Features, concatenate_datasets
from torch.utils.data import ConcatDataset
from transformers import PreTrainedTokenizerBase

from ..data.labels import label_column


def words_of_names(id2label: dict[int, str]) -> dict[int, str]:
    """The class names with blanks for underscores, without uninformative ones (`"LABEL_3"`, `"3"`)."""
    words = {label: name.replace("_", " ") for label, name in id2label.items() if name != f"LABEL_{label}"}
    return {label: name for label, name in words.items() if any(map(str.isalpha, name))}


def names_as_texts(
    id2label: dict[int, str], tokenizer: PreTrainedTokenizerBase | None, several_labels: bool = False
) -> list[dict[str, Any]]:
    """The [`words_of_names`] as tokenised texts with `labels`; none without a tokenizer."""
    if tokenizer is None:
        return []
    tokenizer = deepcopy(tokenizer)  # a call changes the settings that are saved with it
    labels = np.eye(len(id2label)) if several_labels else np.arange(len(id2label))
    return [{**tokenizer(name), "labels": labels[label].tolist()} for label, name in words_of_names(id2label).items()]


def with_names(dataset: Any, id2label: dict[int, str], tokenizer: PreTrainedTokenizerBase | None) -> Any:
    """
    A tokenised data set with the [`names_as_texts`] as further rows. A `datasets.Dataset` stays one; if it computes
    its rows by a transform, it is returned as it is.
    """
    column = label_column(dataset.column_names if isinstance(dataset, Dataset) else list(dataset[0]))
    names = names_as_texts(id2label, tokenizer)
    rows = [{column if key == "labels" else key: value for key, value in name.items()} for name in names]
    if not rows or not isinstance(dataset, Dataset):
        return ConcatDataset([dataset, rows]) if rows else dataset  # type: ignore[list-item]
    if dataset.format["type"] == "custom":
        return dataset
    features = Features({key: feature for key, feature in dataset.features.items() if key in rows[0]})
    table = Dataset.from_list([{key: row[key] for key in features} for row in rows], features=features)
    given = dict(dataset.format)
    whole = concatenate_datasets([dataset.with_format(None), table])
    return whole.with_format(**given.pop("format_kwargs"), **given)
