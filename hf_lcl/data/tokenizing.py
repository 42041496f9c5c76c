"""Texts to token ids."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from .cells import LABEL_NAMES, lacks
from .loading import LINE, as_names, as_splits
from .views import VIEW_PREFIX


def tokenize_texts(
    splits: Any,
    tokenizer: PreTrainedTokenizerBase,
    text_columns: Sequence[str] | str = ("text",),
    *,
    delimiter: str = " ",
    sentence_pair: bool = False,
    max_length: int | None = None,
    padding: bool | str = False,
    return_length: bool = False,
    view_column: str | None = None,
    view_function: Callable[[str], str] | None = None,
    **kwargs: Any,
) -> Any:
    """
    Adds `input_ids` and the other outputs of the tokenizer. Rows are padded later, batch by batch. Texts are passed to
    the tokenizer as they are, so that Unicode normalisation, if any, is the tokenizer's. Of the other columns, only
    texts, views, `labels` (or `label`) and `__line__` are kept: others, such as `label_ids` or `position_ids`, could
    be taken for inputs of the model by their names.

    Args:
        splits (`datasets.DatasetDict` or `datasets.IterableDatasetDict`): all splits. Streams are tokenised while they
            are read. Or anything that [`load_splits`] takes, as a dict of splits or a single data set.
        tokenizer (`PreTrainedTokenizerBase`): the encoder's.
        text_columns (`Sequence[str]` or `str`, *optional*, defaults to `("text",)`): one column, or several that
            are joined.
        delimiter (`str`, *optional*, defaults to a space): string between the joined columns.
        sentence_pair (`bool`, *optional*, defaults to `False`): whether two columns are a sentence pair (premise and
            hypothesis, question and answer) instead: the tokenizer puts its separator between them and sets
            `token_type_ids` where the architecture has these. The longer one is truncated first.
        max_length (`int`, *optional*): longer texts are truncated; defaults to the tokenizer's own limit.
        padding (`bool` or `str`, *optional*, defaults to `False`): `"max_length"` pads every row at once.
        return_length (`bool`, *optional*, defaults to `False`): whether to add a column `length` with the number of
            tokens of each text before truncation and padding, for [`summarize`].
        view_column (`str`, *optional*): a column with a second view of each text (a paraphrase, a translation), for
            training with `view="column"`. Its tokens become `view_input_ids` and so on. Only the training split needs
            it: `"train"`, or the first split if there is no `"train"`.
        view_function (`Callable[[str], str]`, *optional*): computes that second view from a text instead. It is called
            once per text, so that the view is the same in all epochs.
        **kwargs: passed on to `map` of the data sets (`num_proc`, `load_from_cache_file`, ...).

    Returns:
        `datasets.DatasetDict` or `datasets.IterableDatasetDict`, as `splits`; a data set if one was given.

    Raises:
        ValueError: if a column is missing, a text or second view is null or empty, `view_function` returns no string
            (names the split, row and column), or a sentence pair has other than two columns.

    Example:

    ```python
    >>> from hf_lcl import tokenize_texts

    >>> rows = {"title": ["Late again"], "body": ["My train stood still."], "labels": [0]}
    >>> tokenized = tokenize_texts(rows, tokenizer, ["title", "body"], max_length=128)
    >>> with_views = tokenize_texts(rows, tokenizer, ["title", "body"], view_function=str.upper)
    ```
    """
    if view_column is not None and view_function is not None:
        raise ValueError("view_column and view_function both make the second view: leave one of them out.")
    (splits, is_alone), text_columns = as_splits(splits), as_names(text_columns)
    view, trained = view_column or view_function, "train" if "train" in splits else next(iter(splits))
    needed = [(split, "text", name) for split in splits for name in text_columns]
    needed += [] if view_column is None else [(trained, "view", view_column)]
    for split, kind, name in needed:
        if name not in (names := column_names(splits[split])):
            remedy = "Name it with text_columns." if kind == "text" else ""
            raise ValueError(lacks(f"The {split} split", f"{kind} column", name, names, remedy))
    if sentence_pair and len(text_columns) != 2:
        raise ValueError(
            f"A sentence pair needs two text columns, not {', '.join(text_columns)}: name two with text_column_names, "
            "or leave sentence_pair out, and the columns are joined."
        )
    if sentence_pair and view is not None:
        raise ValueError("Sentence pairs have no second view from a column or a function yet: use view='dropout'.")
    limit = tokenizer.model_max_length if max_length is None else min(max_length, tokenizer.model_max_length)
    # A copy, since a call changes the tokenizer: its truncation would be saved with the model.
    own: Callable[..., Any] = deepcopy(tokenizer)
    encode = partial(own, truncation=True, max_length=max_length and limit, padding=padding)
    tokenize = partial(
        _tokenize,
        encode=encode,
        count=partial(_count, tokenizer=own, limit=1 if padding else limit) if return_length else None,
        columns=text_columns,
        delimiter=None if sentence_pair else delimiter,
    )
    tokenized = type(splits)()
    for split, dataset in splits.items():
        # The cache of `datasets` hashes the tokenizer with the truncation of its last call: set that before `map`.
        encode("")
        names = column_names(dataset)
        kept = {*text_columns, view_column, LINE, next((name for name in LABEL_NAMES if name in names), None)}
        tokenized[split] = dataset.map(
            partial(tokenize, split=split, view=view if split == trained else None),
            batched=True,
            with_indices=True,
            remove_columns=[name for name in names if name not in kept],
            **({} if isinstance(dataset, IterableDataset) else {"desc": f"Tokenizing {split}"}),
            **kwargs,
        )
    return tokenized["train"] if is_alone else tokenized


def column_names(dataset: Dataset | IterableDataset) -> list[str]:
    """The columns of a data set; for a stream without known columns, those of its first row."""
    return dataset.column_names or list(next(iter(dataset), {}))


def _tokenize(
    batch: dict[str, list],
    rows: list[int],
    *,
    encode: Callable[..., dict[str, list]],
    count: Callable[[Sequence[list[str]], list[list[int]]], list[int]] | None,
    columns: Sequence[str],
    delimiter: str | None,
    split: str,
    view: str | Callable[[str], str] | None,
) -> dict[str, list]:
    places = [f"line {line}" for line in batch[LINE]] if LINE in batch else [f"row {row}" for row in rows]
    for column in columns:
        check_texts(batch[column], split, places, f"column {column!r}")
    texts = [batch[column] for column in columns]
    if delimiter is not None:
        texts = [[delimiter.join(parts) for parts in zip(*texts)]]
    encoded = encode(*texts)
    if count is not None:
        encoded["length"] = count(texts, encoded["input_ids"])
    if view is None:
        return encoded
    if callable(view):
        views, source = [view(text) for text in texts[0]], "the view that view_function made"
        remedy = "Return the text itself where it has no second view."
    else:
        views, source = batch[view], f"column {view!r}"
        remedy = (
            f"Let the text stand in where it has no second view: splits[{split!r}] = splits[{split!r}].map(lambda "
            f"row: {{{view!r}: (row[{view!r}] or '').strip() or row[{columns[0]!r}]}})."
        )
    check_texts(views, split, places, source, remedy)
    return {**encoded, **{VIEW_PREFIX + name: values for name, values in encode(views).items()}}


def _count(
    texts: Sequence[list[str]], input_ids: list[list[int]], tokenizer: Callable[..., Any], limit: int
) -> list[int]:
    """Number of tokens per text before truncation and padding; only texts that reach `limit` are encoded again."""
    lengths = [len(ids) for ids in input_ids]
    if rows := [row for row, length in enumerate(lengths) if length >= limit]:
        longer = [[column[row] for row in rows] for column in texts]
        for row, ids in zip(rows, tokenizer(*longer, truncation=False, padding=False, verbose=False)["input_ids"]):
            lengths[row] = len(ids)
    return lengths


def check_texts(texts: list, split: str, places: Iterable[str], source: str, remedy: str = "Remove the row.") -> None:
    """Raises a `ValueError` for a text that is empty or no string, with its place in the message."""
    for place, text in zip(places, texts):
        if not isinstance(text, str):
            raise ValueError(f"The {split} split, {place}, {source} holds {text!r}, not a text. {remedy}")
        if not text.strip():
            raise ValueError(f"The {split} split, {place}, {source} is empty. {remedy}")
