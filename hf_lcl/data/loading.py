"""Files to data sets, one per split, whose cells are the strings that stand in the file; and rows in other forms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from transformers.utils import logging

from .cells import cell, is_empty
from .formats import Row
from .reading import Reader


logger = logging.get_logger(__name__)

LINE = "__line__"  # the column that keeps on which line of its file a row begins
CHUNK_ROWS = 10_000  # rows that are Python strings at a time
FORMS = "a Dataset, a pandas or polars frame, a list of dicts, a dict of columns, or the path of a file"
INDEX = "__index_level_0__"  # what a frame of pandas, some of whose rows were dropped, calls their numbers


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
    Reads one file per split: csv, tsv, json, jsonl, txt (one text a line, or fastText's `__label__name text`), each
    of which may be gzipped, and parquet. Every cell is the string that stands in the file, so that `01` stays `01`; a
    list becomes a list of strings. Nothing is cached: what stands in the file now is what is read.

    Args:
        files (`Mapping[str, str]`): split name ("train", "validation", "test") to file. Names are no patterns. A file
            alone is the training split. Instead of a file there may be a `Dataset`, a pandas or polars frame, a list
            of dicts or a dict of columns, whose cells stay as they are; of what follows, only `columns` is for them.
        columns (`Sequence[str]` or `str`, *optional*): those that are kept, where a file has them; defaults to all.
        text_columns (`Sequence[str]`, *optional*): of these; a row without a text in one of them is a bad row.
        label_column (`str`, *optional*): of these; so is one without a label. A file other than `"train"` whose labels
            are all empty is read without them.
        may_lack_labels (`bool`, *optional*, defaults to `False`): whether a row without a label is a good one, a text
            with none of several labels; so is one with an empty list.
        return_lines (`bool`, *optional*, defaults to `False`): whether to add a column `__line__` with the line of the
            file on which each row begins (the first row of a csv is on line 2); messages of [`encode_labels`] and
            [`tokenize_texts`] then name it.
        dropped (`dict[str, Counter]`, *optional*): gets, by split, the rows left out by the kind of fault.
        **options: of [`~data.reading.Reader`]: `encoding`, `delimiter`, `json_field`, `skip_bad_rows`.

    Returns:
        `datasets.DatasetDict`: one data set per split.

    Raises:
        ValueError: for a file that is missing, empty, of an unknown kind or broken, and for bad rows: says which file,
            how many rows, and the first lines.

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
    for split, path in files.items():  # all are looked at before the first is read
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
            if name in kept and set(splits[split].unique(name)) <= {*feature.names, None}:
                splits[split] = splits[split].cast_column(name, feature)
        if return_lines:
            splits[split].info.description = title
    return splits


def as_dataset(rows: Any) -> Dataset | IterableDataset:
    """
    A data set with these rows, which are no file; what `datasets` made stays as it is. Raises a `TypeError` for what
    is none of `FORMS`, and a `ValueError` for columns that hold values of different types.
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
    """Whether a dict holds data sets by name, and not the columns of one."""
    return isinstance(data, Mapping) and not (data and all(map(_is_column, data.values())))


def _is_column(values: Any) -> bool:
    return isinstance(values, np.ndarray) or (
        isinstance(values, list | tuple) and not any(isinstance(value, Mapping) for value in values[:1])
    )


def as_splits(data: Any) -> tuple[Any, bool]:
    """Data of any form by split, and whether it is a single data set, which is then the training split."""
    if isinstance(data, DatasetDict | IterableDatasetDict):
        return data, False
    if isinstance(data, IterableDataset):
        return IterableDatasetDict(train=data), True
    return load_splits(data), not is_by_split(data)


def as_names(columns: Sequence[str] | str) -> list[str]:
    """The names of columns, of which one may stand alone."""
    return [columns] if isinstance(columns, str) else list(columns)


def _kept(columns: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    return [name for name in columns if wanted is None or name in wanted]


def _column(title: str, name: str, rows: list[Row], are_lists: dict[str, bool]) -> pa.Array:
    """A column of some rows, which holds strings or lists of strings throughout."""
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
    """How messages call a split: by its file where it is known."""
    is_of_file = LINE in dataset.column_names and dataset.info.description
    return dataset.info.description if is_of_file else f"The {split} split"


def place(dataset: Dataset, row: int, split: str) -> str:
    """How messages call a row: by its line where the file is known, else by its number."""
    where = f"line {dataset[row][LINE]}" if LINE in dataset.column_names else f"row {row}"
    return f"{title_of(dataset, split)}, {where}"
