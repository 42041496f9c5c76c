"""Texts that occur more than once: repeated, with several labels, or in two splits."""

from collections.abc import Sequence
from itertools import count

import numpy as np
from datasets import Dataset, DatasetDict

from .labels import class_ids
from .tokenizing import check_texts


BATCH_ROWS = 1000  # rows whose texts are held at a time


def text_keys(dataset: Dataset, text_columns: Sequence[str] = ("text",), split: str = "train") -> np.ndarray:
    """
    A hash of each text, of shape `(rows,)` and dtype int64; equal for texts that differ only in blanks at both ends.
    Raises a `ValueError` for a text that is null or empty.

    The hashes of a million texts take 8 MB, with a collision probability of 3e-8. They are valid within this process
    only.
    """
    keys = np.empty(len(dataset), dtype=np.int64)
    batches = dataset.select_columns(list(text_columns)).with_format(None).iter(batch_size=BATCH_ROWS)
    for start, batch in zip(count(step=BATCH_ROWS), batches):
        for column in text_columns:
            check_texts(batch[column], split, (f"row {row}" for row in count(start)), f"column {column!r}")
        texts = zip(*(batch[column] for column in text_columns))
        keys[start : start + BATCH_ROWS] = [hash(tuple(text.strip() for text in row)) for row in texts]
    return keys


def repeats(keys: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Which rows repeat the text and label of an earlier row, and which have a text that occurs with several labels: two
    arrays of shape `(rows,)` and dtype bool.
    """
    if labels.ndim == 2:  # number the distinct indicator rows
        labels = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((labels, keys))  # rows with the same text and label side by side
    same_text, same_label = (np.diff(values[order]) == 0 for values in (keys, labels))
    repeated = np.zeros(len(keys), dtype=bool)
    repeated[order[1:]] = same_text & same_label
    return repeated, np.isin(keys, keys[order[1:]][same_text & ~same_label])


def drop_conflicts(splits: DatasetDict, text_columns: Sequence[str] = ("text",)) -> tuple[DatasetDict, int]:
    """
    Drops all rows of the training split whose text occurs there with several labels, since these cannot be learned
    from the text alone.

    Args:
        splits (`datasets.DatasetDict`): from [`encode_labels`], with a split `"train"`; the others stay as they are.
        text_columns (`Sequence[str]`, *optional*, defaults to `("text",)`): the columns that make up a text.

    Returns:
        `tuple[datasets.DatasetDict, int]`: the splits, and the number of rows that were dropped.

    Raises:
        ValueError: if no row is left, or for a text that is null or empty.

    Example:

    ```python
    >>> from datasets import Dataset, DatasetDict
    >>> from hf_lcl.data import drop_conflicts

    >>> train = Dataset.from_dict({"text": ["I see.", "I won!", "I see."], "labels": [0, 1, 1]})
    >>> splits, dropped = drop_conflicts(DatasetDict(train=train))
    >>> splits["train"]["text"][:], dropped
    (['I won!'], 2)
    ```
    """
    train = splits["train"]
    _, dropped = repeats(text_keys(train, text_columns), class_ids(train))
    if dropped.all():
        raise ValueError("Every text of the train split stands under several labels: drop_conflicts leaves none.")
    return DatasetDict(splits | {"train": train.select(np.flatnonzero(~dropped))}), int(dropped.sum())
