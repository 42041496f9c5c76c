"""Rows in whatever form users hold them, as a data set: a frame, a list of rows, columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, IterableDataset


FORMS = "a Dataset, a pandas or polars frame, a list of dicts, a dict of columns, or the path of a file"
INDEX = "__index_level_0__"  # what a frame of pandas, some of whose rows were dropped, calls their numbers


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
            for place, field in enumerate(table.schema):
                if pa.types.is_dictionary(field.type):  # a categorical column, which `datasets` does not take
                    table = table.set_column(place, field.name, table[place].cast(field.type.value_type))
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
