"""Class names as texts of every training batch."""

from collections.abc import Collection
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Subset
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ..data.cells import LABEL_NAMES
from ..data.labels import label_column
from ..data.views import IS_NAME, input_columns
from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification, native_inputs
from ..training_args import ContrastiveTrainingArguments


# With all-MiniLM-L6-v2, names of emotions, topics and grades have 1.2 to 6.0, and gain accuracy. Those of intents have
# 1.0 to 1.1, and change it by -1.1 to 1.6 points, 0.1 in the mean of six draws, at a third more time. Letters, numbers
# and unrelated nouns have less, but for 2 of 276 with four classes or more, and cost 4 to 12 points. The threshold was
# set with this encoder; with all-mpnet-base-v2 it lies between intents and emotions, too, but grades and some topics
# are below it (examples/results/class_names.md).
CLOSENESS = 1.15
MAX_TOKENS = 64  # of a name: the texts of a batch are padded to its longest row


def words_of_names(id2label: dict[int, str]) -> dict[int, str]:
    """The class names with blanks for underscores, without uninformative ones (`"LABEL_3"`, `"3"`)."""
    words = {label: name.replace("_", " ") for label, name in id2label.items() if name != f"LABEL_{label}"}
    return {label: name for label, name in words.items() if any(map(str.isalpha, name))}


def names_as_texts(
    dataset: Any, id2label: dict[int, str], tokenizer: PreTrainedTokenizerBase | None, inputs: Collection[str] = ()
) -> list[dict[str, Any]]:
    """
    The [`words_of_names`] as further rows of a tokenised data set: its labels, and those of its columns that a
    tokenizer makes, truncated to `MAX_TOKENS`. None without a tokenizer, or if other `inputs` of the model are among
    the other columns, or lists of a fixed length.
    """
    first = dataset[0]
    column = label_column(list(first))
    features = dataset.features if isinstance(dataset, Dataset) else {}
    fixed = {name for name, feature in features.items() if getattr(feature, "length", -1) != -1}
    if tokenizer is None or fixed - {column}:
        return []
    labels = np.eye(len(id2label)) if np.ndim(first[column]) else np.arange(len(id2label))
    own: Any = deepcopy(tokenizer)  # a call changes the settings that are saved with it
    encode = partial(own, truncation=True, max_length=min(MAX_TOKENS, own.model_max_length))
    rows = [{**encode(name), column: labels[label].tolist()} for label, name in words_of_names(id2label).items()]
    lacking = set(inputs) - rows[0].keys() - {*LABEL_NAMES} if rows else set()
    if lacking & first.keys():
        return []
    return [{key: value for key, value in row.items() if key in first} for row in rows]


def names_of_model(
    model: LCLForSequenceClassification,
    dataset: Any,
    args: ContrastiveTrainingArguments,
    tokenizer: PreTrainedTokenizerBase | None,
    collator: Any,
) -> list[dict[str, Any]]:
    """The [`names_as_texts`] of a model for its training set; none without `args.names_as_texts`."""
    if not args.names_as_texts or not isinstance(collator, DataCollatorWithPadding):
        return []  # another collator may need rows of one length
    inputs = list(dataset[0])
    if args.remove_unused_columns:
        inputs = input_columns(native_inputs(model.native), tokenizer, view="dropout")  # names have no second view
    return names_as_texts(dataset, dict(enumerate(class_names(model.config))), tokenizer, inputs)


def say_more(features: Tensor, labels: Tensor, num_names: int) -> bool:
    """
    Whether class names say more of the texts of their classes than these say of one another: whether their
    [`closeness`], by the embeddings of an encoder that is not trained yet, is at least `CLOSENESS`. Letters, numbers,
    codes and words of an unknown language do not. Where texts are no closer to their own class than to others, half of
    all unrelated names pass; where each class with a name has one text, all do, as its only positives.
    """
    return closeness(features, labels, num_names) >= CLOSENESS


def closeness(features: Tensor, labels: Tensor, num_names: int) -> float:
    """
    How many times as close names are to the texts of their classes as these are to one another, in the mean over the
    classes. How close is the mean cosine with the texts of the class, less that with all others.

    Args:
        features (`torch.Tensor` of shape `(texts + num_names, features)`): of texts, then of names.
        labels (`torch.LongTensor` of shape `(texts + num_names,)`): their classes.
        num_names (`int`): number of names.

    Returns:
        `float`: infinite if each class with a name has at most one text, which cannot be compared with another.
    """
    texts, names = (_directions(part) for part in (features[:-num_names], features[-num_names:]))
    belongs = (labels[:-num_names].unsqueeze(1) == labels[-num_names:]).float()  # (texts, names)
    sizes, others = belongs.sum(dim=0), (1 - belongs).sum(dim=0)
    own, rest = belongs.T @ texts, (1 - belongs).T @ texts
    of_names = (names * own).sum(dim=1) / sizes - (names * rest).sum(dim=1) / others
    of_texts = (own.square().sum(dim=1) - sizes) / (sizes * (sizes - 1)) - (own * rest).sum(dim=1) / (sizes * others)
    of_texts = of_texts.where(sizes > 1, torch.nan)  # rounding would make one text as close to itself as it likes
    if not (sizes > 1).any():
        return torch.inf
    # A class without texts has nan, too. Texts may be no closer to those of their class than to others.
    return (of_names.nanmean() / of_texts.nanmean().clamp(min=1e-6)).item()


def _directions(features: Tensor) -> Tensor:
    return functional.normalize(features - features.mean(dim=0), dim=1)


class BatchesWithNames(Subset):
    """
    A tokenised data set whose batches also hold the names of their classes: each text of a batch has a positive that
    says what its class is, and negatives that say what the other classes of the batch are.

    Its rows and its length are those of the data set: a `DataLoader` that asks for a batch of rows gets a few more. A
    further column of a batch marks the names.

    Args:
        dataset (`Dataset`, or a sequence of rows): with a label in each row.
        names (`list[dict]`): its [`names_as_texts`]; a class need not have one.

    Example:

    ```python
    >>> from hf_lcl.training.names import BatchesWithNames

    >>> rows = [{"input_ids": [7, 8], "labels": 0}, {"input_ids": [9], "labels": 1}, {"input_ids": [6], "labels": 0}]
    >>> names = [{"input_ids": [1], "labels": 0}, {"input_ids": [2], "labels": 1}]
    >>> batch = BatchesWithNames(rows, names).__getitems__([0, 2])
    >>> [(row["input_ids"], row["hf_lcl_is_name"]) for row in batch]
    [([7, 8], False), ([6], False), ([1], True)]
    ```
    """

    def __init__(self, dataset: Any, names: list[dict[str, Any]]):
        super().__init__(dataset, range(len(dataset)))
        self._column = label_column(list(names[0]))
        self.names = {name[self._column]: name | {IS_NAME: True} for name in names}

    def leave_names_out(self) -> None:
        """From now on, batches hold the rows alone."""
        self.names = {}

    def __getitems__(self, indices: list[int]) -> list[Any]:
        rows = super().__getitems__(indices)
        if not self.names:
            return rows
        present = {int(row[self._column]) for row in rows}
        names = [self.names[label] for label in sorted(present & self.names.keys())]
        return [row | {IS_NAME: False} for row in rows] + names
