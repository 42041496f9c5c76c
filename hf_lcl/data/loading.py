"""Loads one data set per split, from files, whose cells become strings, or from rows in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from transformers.utils import logging

from .cells import cell, is_empty
from .formats import Row
from .reading import Reader


logger = logging.get_logger(__name__)

LINE = "__line__"  # the column with the line of its file on which a row begins
CHUNK_ROWS = 10_000  # rows that are held as Python strings at a time
FORMS = "a Dataset, a pandas or polars frame, a list of dicts, a dict of columns, or the path of a file"
INDEX = "__index_level_0__"  # the index that a pandas frame has after rows were dropped


def load_splits(
    files: Any,
    *,
    columns: Sequence[str] | str | None = None,
    text_columns: Sequence[str] | str = (),
    label_column: str | None = None,
    may_lack_labels: bool = False,
    return_lines: bool = False,
    dropped: dict[str, Counter[str]] | None = None,
    **options: Any,
) -> DatasetDict:
    """
    Reads one file per split: csv, tsv, json, jsonl, txt (one text a line, or fastText's `__label__name text`), each of
    which may be gzipped, and parquet. Cells are read as strings, so that `01` stays `01`; a list becomes a list of
    strings. Nothing is cached, so that changes of a file always take effect.

    Args:
        files (`Mapping[str, str]`): file of each split ("train", "validation", "test"); patterns are not expanded. A
            single file is the training split. A `Dataset`, a pandas or polars frame, a list of dicts or a dict of
            columns may replace a file; its cells are not converted, and only the argument `columns` applies to it.
        columns (`Sequence[str]` or `str`, *optional*): columns to keep, where a file has them; defaults to all.
        text_columns (`Sequence[str]`, *optional*): kept columns of texts; a row with an empty one is a bad row.
        label_column (`str`, *optional*): kept column of labels; a row with an empty one is a bad row. If all labels of
            a file other than `"train"` are empty, the column is dropped.
        may_lack_labels (`bool`, *optional*, defaults to `False`): whether a row with an empty label is valid, as a
            text with none of several labels. An empty list always is.
        return_lines (`bool`, *optional*, defaults to `False`): whether to add a column `__line__` with the line of the
            file on which each row begins (the first row of a csv is on line 2), for the messages of [`encode_labels`]
            and [`tokenize_texts`].
        dropped (`dict[str, Counter]`, *optional*): is filled with the number of bad rows, by split and kind of fault.
        **options: of [`~data.reading.Reader`]: `encoding`, `delimiter`, `json_field`, `skip_bad_rows`.

    Returns:
        `datasets.DatasetDict`: one data set per split.

    Raises:
        ValueError: if a file is missing, empty, of an unknown kind or broken, or has bad rows; the message has the
            file, the number of bad rows and their first lines.

    Example:

    ```python
    >>> from hf_lcl import load_splits

    >>> splits = load_splits({"train": "examples/data/feelings_train.jsonl"})
    >>> splits["train"].column_names
    ['text', 'label']
    ```
    """
    reader, splits = Reader(**options), DatasetDict()
    columns, text_columns = None if columns is None else as_names(columns), as_names(text_columns)
    files = files if is_by_split(files) else {"train": files}
    for split, path in files.items():  # check all files before the first is read
        if isinstance(path, str | PathLike):
            reader.columns(path, split)
    for split, path in files.items():
        if not isinstance(path, str | PathLike):
            rows = as_dataset(path)
            splits[split] = rows if columns is None else rows.select_columns(_kept(rows.column_names, columns))
            continue
        with reader.opened(path, split) as (title, table):
            kept = _kept(table.columns, columns)
            label = label_column if label_column in kept else None
            if label and split != "train":
                are_empty = (is_empty(cell(row.values.get(label))) for row in table.rows if row.fault is None)
                if next(are_empty, False) and all(are_empty):
                    logger.warning(f"{title} has no labels in column {label!r}: no metrics.")
                    kept.remove(label)
                    label = None
        chunks, are_lists = list[pa.Table](), dict[str, bool]()
        counts = None if dropped is None else dropped.setdefault(split, Counter())
        needed = None if may_lack_labels else label
        rows = reader.rows(path, text_columns, columns=kept, label_column=needed, split=split, counts=counts)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            arrays = {name: _column(title, name, chunk, are_lists) for name in kept}
            if return_lines:
                arrays[LINE] = pa.array([row.line for row in chunk])
            chunks.append(pa.table(arrays))
        splits[split] = Dataset(pa.concat_tables(chunks, promote_options="default"))
        for name, feature in (table.classes or {}).items():
            if name in kept and _values(splits[split], name) <= {*getattr(feature, "feature", feature).names, None}:
                splits[split] = splits[split].cast_column(name, feature)
        if return_lines:
            splits[split].info.description = title
    return splits


def _values(dataset: Dataset, name: str) -> set[Any]:
    """The different values of a column, or in its lists."""
    column = dataset.with_format("arrow")[name][:]
    return set((pc.list_flatten(column) if pa.types.is_list(column.type) else column).unique().to_pylist())


def as_dataset(rows: Any) -> Dataset | IterableDataset:
    """
    Rows in memory as a data set; those of `datasets` are returned unchanged. Raises a `TypeError` for anything but
    `FORMS`, and a `ValueError` if a column holds values of different types.
    """
    if isinstance(rows, Dataset | IterableDataset):
        return rows
    try:
        if hasattr(rows, "__arrow_c_stream__"):  # the protocol of frames
            table = pa.table(rows)
            for index, field in enumerate(table.schema):
                if pa.types.is_dictionary(field.type):  # a categorical column, which `datasets` does not take
                    table = table.set_column(index, field.name, table[index].cast(field.type.value_type))
            return Dataset(table.drop_columns([INDEX]) if INDEX in table.column_names else table)
        if isinstance(rows, Mapping):
            return Dataset.from_dict(dict(rows))
        if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows):
            return Dataset.from_list(list(rows))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"A column holds values of different types: {error}") from error
    raise TypeError(f"Rows cannot be read from a {type(rows).__name__}: give {FORMS}.")


def is_by_split(data: Any) -> bool:
    """Whether a dict holds data sets by name, rather than the columns of one data set."""
    return isinstance(data, Mapping) and not (data and all(map(_is_column, data.values())))


def _is_column(values: Any) -> bool:
    return isinstance(values, np.ndarray) or (
        isinstance(values, list | tuple) and not any(isinstance(value, Mapping) for value in values[:1])
    )


def as_splits(data: Any) -> tuple[Any, bool]:
    """Data of any form by split, and whether it was a single data set, which becomes the training split."""
    if isinstance(data, DatasetDict | IterableDatasetDict):
        return data, False
    if isinstance(data, IterableDataset):
        return IterableDatasetDict(train=data), True
    return load_splits(data), not is_by_split(data)


def as_names(columns: Sequence[str] | str) -> list[str]:
    """Names of columns as a list; a single name may be a string."""
    return [columns] if isinstance(columns, str) else list(columns)


def _kept(columns: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    return [name for name in columns if wanted is None or name in wanted]


def _column(title: str, name: str, rows: list[Row], are_lists: dict[str, bool]) -> pa.Array:
    """A column of some rows: strings throughout, or lists of strings throughout."""
    values = [cell(row.values.get(name)) for row in rows]
    for row, value in zip(rows, values):
        if value is not None and are_lists.setdefault(name, isinstance(value, list)) != isinstance(value, list):
            raise ValueError(
                f"{title}, line {row.line} holds {value!r} in column {name!r}: a list in some rows and a single value "
                "in others. Write a list in each row, also of one."
            )
    kind = pa.list_(pa.string()) if are_lists.get(name) else pa.string() if name in are_lists else pa.null()
    return pa.array(values, kind)


def title_of(dataset: Dataset, split: str) -> str:
    """The name of a split in messages: its file if known."""
    is_of_file = LINE in dataset.column_names and dataset.info.description
    return dataset.info.description if is_of_file else f"The {split} split"


def place(dataset: Dataset, row: int, split: str) -> str:
    """The name of a row in messages: its line if the file is known, else its number."""
    where = f"line {dataset[row][LINE]}" if LINE in dataset.column_names else f"row {row}"
    return f"{title_of(dataset, split)}, {where}"
