"""Texts to token ids."""

from collections.abc import Callable
from functools import partial
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase

from .views import VIEW_PREFIX


def tokenize_texts(
    splits: DatasetDict,
    tokenizer: PreTrainedTokenizerBase,
    text_columns: list[str] | tuple[str, ...] = ("text",),
    *,
    delimiter: str = " ",
    max_length: int | None = None,
    padding: bool | str = False,
    view_column: str | None = None,
    view_function: Callable[[str], str] | None = None,
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
        view_column (`str`, *optional*): a column with a second view of each text (a paraphrase, a translation), for
            training with `view="column"`. Its tokens become `view_input_ids` and so on. Only the training split is
            trained on: `"train"`, or the first split where it is missing; the others need no such column.
        view_function (`Callable[[str], str]`, *optional*): makes that second view of a text instead. It is called
            once per text, so that the view stays the same for the whole training.
        **kwargs: passed on to `datasets.Dataset.map` (`num_proc`, `load_from_cache_file`, ...).

    Returns:
        `datasets.DatasetDict`

    Raises:
        ValueError: for a missing column, a text or a second view that is null or empty, or a `view_function` that
            returns no text; says which split, row and column.

    Example:

    ```python
    >>> from hf_lcl import tokenize_texts

    >>> tokenized = tokenize_texts(splits, tokenizer, ["title", "body"], max_length=128)
    >>> with_views = tokenize_texts(splits, tokenizer, ["title", "body"], view_function=my_paraphraser)
    ```
    """
    if view_column is not None and view_function is not None:
        raise ValueError("view_column and view_function both make the second view: leave one of them out.")
    for split, dataset in splits.items():
        for column in text_columns:
            if column not in dataset.column_names:
                raise ValueError(
                    f"The {split} split has no text column {column!r}; its columns are "
                    f"{', '.join(dataset.column_names)}. Name it with text_column_names."
                )
    view, trained = view_column or view_function, "train" if "train" in splits else next(iter(splits))
    if view_column is not None and view_column not in splits[trained].column_names:
        raise ValueError(
            f"The {trained} split has no view column {view_column!r}; its columns are "
            f"{', '.join(splits[trained].column_names)}."
        )
    if max_length is not None:
        max_length = min(max_length, tokenizer.model_max_length)
    # The cache of `datasets` is found by a hash of the tokenizer, which keeps the truncation of its last call.
    encode = partial(tokenizer, truncation=True, max_length=max_length, padding=padding)
    encode("")
    return DatasetDict(
        {
            split: dataset.map(
                partial(
                    _tokenize,
                    encode=encode,
                    split=split,
                    columns=text_columns,
                    delimiter=delimiter,
                    view=view if split == trained else None,
                ),
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
    view: str | Callable[[str], str] | None,
) -> dict[str, list]:
    for column in columns:
        _check(batch[column], split, rows, f"column {column!r}", "Remove the row.")
    texts = [delimiter.join(texts) for texts in zip(*(batch[column] for column in columns))]
    if view is None:
        return encode(texts)
    if callable(view):
        views, source = [view(text) for text in texts], "the view that view_function made"
        remedy = "Return the text itself where it has no second view."
    else:
        views, source = batch[view], f"column {view!r}"
        remedy = (
            f"Let the text stand in where it has no second view: splits[{split!r}] = splits[{split!r}].map(lambda "
            f"row: {{{view!r}: (row[{view!r}] or '').strip() or row[{columns[0]!r}]}})."
        )
    _check(views, split, rows, source, remedy)
    return {**encode(texts), **{VIEW_PREFIX + name: values for name, values in encode(views).items()}}


def _check(texts: list, split: str, rows: list[int], source: str, remedy: str) -> None:
    for row, text in zip(rows, texts):
        if not isinstance(text, str):
            raise ValueError(f"The {split} split, row {row}, {source} holds {text!r}, not a text. {remedy}")
        if not text.strip():
            raise ValueError(f"The {split} split, row {row}, {source} is empty. {remedy}")
