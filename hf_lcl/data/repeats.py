"""The same text more than once: repeated, under several labels, or in two splits."""

from itertools import count

import numpy as np
from datasets import Dataset, DatasetDict

from .labels import label_column
from .tokenizing import check_texts


BATCH = 1000  # rows whose texts are held at a time


def text_keys(
    dataset: Dataset, text_columns: list[str] | tuple[str, ...] = ("text",), *, split: str = "train"
) -> np.ndarray:
    """
    A number for each text. Texts are the same where they are equal, letter by letter, but for blanks at both ends.

    The numbers are hashes, so that a million texts take 8 MB; that any two of these share a number by chance has a
    probability of 3e-8. They hold within this process only.

    Args:
        dataset (`datasets.Dataset`): rows with the text columns.
        text_columns (`list[str]`, *optional*, defaults to `["text"]`): what makes up a text.
        split (`str`, *optional*, defaults to `"train"`): what errors call the data set.

    Returns:
        `np.ndarray` of shape `(rows,)` and dtype int64.

    Raises:
        ValueError: for a text that is null or empty; says which split, row and column.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from hf_lcl.data.repeats import text_keys

    >>> first, second, third = text_keys(Dataset.from_dict({"text": ["I won!", " I won! ", "i won!"]}))
    >>> first == second, first == third
    (True, False)
    ```
    """
    keys = np.empty(len(dataset), dtype=np.int64)
    batches = dataset.select_columns(list(text_columns)).with_format(None).iter(batch_size=BATCH)
    for start, batch in zip(count(step=BATCH), batches):
        for column in text_columns:
            check_texts(batch[column], split, (f"row {row}" for row in count(start)), f"column {column!r}")
        texts = zip(*(batch[column] for column in text_columns))
        keys[start : start + BATCH] = [hash(tuple(text.strip() for text in row)) for row in texts]
    return keys


def repeated(keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """
    Which rows say what a row before them says: the same text with the same label.

    Args:
        keys (`np.ndarray` of shape `(rows,)`): see [`text_keys`].
        labels (`np.ndarray` of shape `(rows,)`): class ids.

    Returns:
        `np.ndarray` of shape `(rows,)` and dtype bool.
    """
    order, same_text, same_label = _side_by_side(keys, labels)
    mask = np.zeros(len(keys), dtype=bool)
    mask[order[1:]] = same_text & same_label
    return mask


def conflicting(keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """
    Which rows have a text that stands under several labels.

    Args:
        keys (`np.ndarray` of shape `(rows,)`): see [`text_keys`].
        labels (`np.ndarray` of shape `(rows,)`): class ids.

    Returns:
        `np.ndarray` of shape `(rows,)` and dtype bool.
    """
    order, same_text, same_label = _side_by_side(keys, labels)
    return np.isin(keys, keys[order[1:]][same_text & ~same_label])


def _side_by_side(keys: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows sorted by text and label, and which of them, but the first, have the text, the label of the last."""
    order = np.lexsort((labels, keys))
    same_text, same_label = (np.diff(values[order]) == 0 for values in (keys, labels))
    return order, same_text, same_label


def drop_conflicts(
    splits: DatasetDict, text_columns: list[str] | tuple[str, ...] = ("text",)
) -> tuple[DatasetDict, int]:
    """
    Drops from the training split all rows of each text that stands there under several labels. Nobody can learn these
    from the text alone.

    Args:
        splits (`datasets.DatasetDict`): from [`encode_labels`], with a split `"train"`; the others stay as they are.
        text_columns (`list[str]`, *optional*, defaults to `["text"]`): what makes up a text.

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
    dropped = conflicting(text_keys(train, text_columns), label_column(train))
    if dropped.all():
        raise ValueError("Every text of the train split stands under several labels: drop_conflicts leaves none.")
    return DatasetDict(splits | {"train": train.select(np.flatnonzero(~dropped))}), int(dropped.sum())
