"""Texts to token ids."""

from collections.abc import Callable
from functools import partial
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase


def tokenize_texts(
    splits: DatasetDict,
    tokenizer: PreTrainedTokenizerBase,
    text_columns: list[str] | tuple[str, ...] = ("text",),
    *,
    delimiter: str = " ",
    max_length: int | None = None,
    padding: bool | str = False,
    **kwargs: Any,
) -> DatasetDict:
    """
    Adds `input_ids` and whatever else the tokenizer gives. Rows are padded later, batch by batch.

    Args:
        splits (`datasets.DatasetDict`): all splits.
        tokenizer (`PreTrainedTokenizerBase`): the encoder's.
        text_columns (`list[str]`, *optional*, defaults to `["text"]`): one column, or several that are joined.
        delimiter (`str`, *optional*, defaults to a space): what joins several columns.
        max_length (`int`, *optional*): longer texts are cut; defaults to the tokenizer's own limit.
        padding (`bool` or `str`, *optional*, defaults to `False`): `"max_length"` pads every row at once.
        **kwargs: passed on to `datasets.Dataset.map` (`num_proc`, `load_from_cache_file`, ...).

    Returns:
        `datasets.DatasetDict`

    Raises:
        ValueError: for a missing column, or a text that is null or empty; says which split, row and column.

    Example:

    ```python
    >>> from hf_lcl import tokenize_texts

    >>> tokenized = tokenize_texts(splits, tokenizer, ["title", "body"], max_length=128)
    ```
    """
    for split, dataset in splits.items():
        for column in text_columns:
            if column not in dataset.column_names:
                raise ValueError(
                    f"The {split} split has no text column {column!r}; its columns are "
                    f"{', '.join(dataset.column_names)}. Name it with text_column_names."
                )
    if max_length is not None:
        max_length = min(max_length, tokenizer.model_max_length)
    # The cache of `datasets` is found by a hash of the tokenizer, which keeps the truncation of its last call.
    encode = partial(tokenizer, truncation=True, max_length=max_length, padding=padding)
    encode("")
    return DatasetDict(
        {
            split: dataset.map(
                partial(_tokenize, encode=encode, split=split, columns=text_columns, delimiter=delimiter),
                batched=True,
                with_indices=True,
                desc=f"Tokenizing {split}",
                **kwargs,
            )
            for split, dataset in splits.items()
        }
    )


def _tokenize(
    batch: dict[str, list],
    rows: list[int],
    *,
    encode: Callable[[list[str]], dict[str, list]],
    split: str,
    columns: list[str] | tuple[str, ...],
    delimiter: str,
) -> dict[str, list]:
    for column in columns:
        for row, text in zip(rows, batch[column]):
            if not isinstance(text, str):
                raise ValueError(f"The {split} split, row {row}, column {column!r} holds {text!r}, not a text.")
            if not text.strip():
                raise ValueError(f"The {split} split, row {row}, column {column!r} is empty. Remove the row.")
    return encode([delimiter.join(texts) for texts in zip(*(batch[column] for column in columns))])
