"""Several labels per text: converts lists, delimited strings and 0/1 columns to indicator rows `(texts, classes)`."""

import ast
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, LargeList, List, Value

from .cells import is_nested
from .loading import place, title_of


YES_OR_NO = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
FLOAT = re.compile(r"[-+]?\d*\.\d+")
BETWEEN_QUOTES, BETWEEN_DIGITS = re.compile(r"(?<=['\"])\s+(?=['\"])"), re.compile(r"(?<=\d)\s+(?=\d)")


def holds_lists(dataset: Dataset, column: str) -> bool:
    """Whether a column holds a list of labels for each text."""
    return isinstance(dataset.features.get(column), List | LargeList)


def written_list(cell: Any) -> Any:
    """
    The list that a cell of a csv holds as text, as pandas or numpy write it: `"['joy', 'anger']"`, `"['joy' 'anger']"`
    or `"[2 28]"`. Any other cell is returned as it is.
    """
    if not isinstance(cell, str) or not cell.strip().startswith("["):
        return cell
    for blanks in (BETWEEN_QUOTES, BETWEEN_DIGITS):  # numpy writes no commas
        try:
            values = ast.literal_eval(blanks.sub(", ", cell.strip()))
        except (ValueError, SyntaxError):
            continue
        if isinstance(values, list) and all(isinstance(value, str | int) for value in values):
            return list(map(str, values))
    return cell


def read_written_lists(dataset: Dataset, column: str) -> Dataset:
    """Replaces a column of strings by a column of lists if each of its cells is a [`written_list`], or empty."""
    if getattr(dataset.features.get(column), "dtype", None) not in ("string", "large_string"):
        return dataset
    cells = [(cell or "").strip() for cell in dataset.with_format(None)[column][:]]
    # The first cell decides for most columns, so that not all are parsed.
    if not all(isinstance(written_list(cell), list) for cell in cells if cell):
        return dataset
    lists = [written_list(cell) if cell else [] for cell in cells]
    if not any(lists):
        return dataset
    return dataset.remove_columns(column).add_column(column, lists, feature=List(Value("string")))


def split_labels(splits: DatasetDict, column: str, delimiter: str) -> DatasetDict:
    """
    Splits the delimited labels of each text into a list and strips blanks around them. An empty cell is a text without
    labels. Raises a `ValueError` if the column holds lists already.
    """
    found = DatasetDict(splits)
    for split, dataset in splits.items():
        if column not in dataset.column_names:
            continue
        if holds_lists(read_written_lists(dataset, column), column):
            raise ValueError(
                f"{title_of(dataset, split)} holds lists in column {column!r}: leave label_delimiter={delimiter!r} "
                "out."
            )
        parts = [str(cell or "").split(delimiter) for cell in dataset[column][:]]
        lists = [[part.strip() for part in cell if part.strip()] for cell in parts]
        found[split] = dataset.remove_columns(column).add_column(column, lists, feature=List(Value("string")))
    return found


def join_label_columns(splits: DatasetDict, columns: Sequence[str], name: str) -> DatasetDict:
    """
    Joins 0/1 columns, one per label, into one column of lists of labels. Raises a `ValueError` if a split has only
    some of the columns, or a cell is neither 0 nor 1.
    """
    found = DatasetDict(splits)
    for split, dataset in splits.items():
        there = [column for column in columns if column in dataset.column_names]
        if not there and split != "train":
            continue
        if missing := [column for column in columns if column not in there]:
            raise ValueError(f"{title_of(dataset, split)} has no label column {missing[0]!r} (label_columns).")
        cells = []
        for column in columns:
            cells.append([YES_OR_NO.get(str(value).strip().lower()) for value in dataset[column][:]])
            if None in cells[-1]:
                row = cells[-1].index(None)
                held = f"column {column!r} holds {dataset[row][column]!r}"
                raise ValueError(f"{place(dataset, row, split)}: {held}, neither 0 nor 1 (label_columns).")
        lists = [np.flatnonzero(row).tolist() for row in zip(*cells)]
        feature = List(ClassLabel(names=list(columns)))
        found[split] = dataset.remove_columns(list(columns)).add_column(name, lists, feature=feature)
    return found


def label_lists(dataset: Dataset, split: str, column: str) -> list[list[str]]:
    """
    The labels of each text as strings. Raises a `ValueError` that names the row if a cell is not a list, or a label is
    empty or occurs twice.
    """
    known = getattr(dataset.features[column], "feature", None)
    names = known.names if isinstance(known, ClassLabel) else None
    found = []
    for row, values in enumerate(dataset.with_format(None)[column][:]):
        if not isinstance(values, list):
            raise ValueError(
                f"{place(dataset, row, split)}: {values!r} is no list of labels: where several labels stand in one "
                'cell, write label_delimiter="|"; where each has a column, name them in label_columns.'
            )
        labels = [str(value if names is None else names[value]) for value in values]
        if fault := _fault(values, labels):
            raise ValueError(f"{place(dataset, row, split)}: {fault}.")
        found.append(labels)
    if len({*map(len, found)}) == 1 < len(found[0]) and {*chain.from_iterable(found)} <= YES_OR_NO.keys():
        raise ValueError(
            f"{title_of(dataset, split)} has rows of {len(found[0])} zeros and ones in column {column!r}: give lists "
            "of the names of the labels, or a column of 0 and 1 for each label (label_columns)."
        )
    if any(found) and all(FLOAT.fullmatch(label) for labels in found for label in labels):
        row = next(row for row, labels in enumerate(found) if labels)
        raise ValueError(
            f"{place(dataset, row, split)}: {found[row]!r} are floats, and so is every other label: give the names of "
            "the labels, or a column of 0 and 1 for each (label_columns)."
        )
    return found


def _fault(values: list[Any], labels: list[str]) -> str:
    if is_nested(values):
        return f"column of labels holds {values!r}: a label is a name or a number"
    if any(value is None or not label.strip() for value, label in zip(values, labels)):
        return f"column of labels holds {values!r}, with an empty label"
    twice = [label for label, times in Counter(labels).items() if times > 1]
    if not twice:
        return ""
    if set(labels) <= YES_OR_NO.keys():
        return f"{values!r} are no labels: give their names, or a column of 0 and 1 for each label (label_columns)"
    return f"label {twice[0]!r} stands twice in {values!r}"


def indicator_rows(values: Sequence[Any], column: str) -> np.ndarray:
    """
    Labels of a tokenised data set, `(texts, classes)` and dtype bool, from indicator rows of equal length. Raises a
    `ValueError` if rows differ in length, or hold other values than 0 and 1.
    """
    lengths = np.array([np.size(value) for value in values])
    first = int(np.argmax((lengths != lengths[0]) | (lengths < 2)))
    if lengths[first] != lengths[0] or lengths[0] < 2:
        raise ValueError(
            f"Column {column!r}, row {first} holds {_shown(values[first])}: several labels per text are rows of 0 and "
            "1, one number for each of the classes. hf_lcl.encode_labels makes them of lists of names."
        )
    rows = np.stack([np.asarray(value) for value in values])
    wrong = ~np.isin(rows, (0, 1)).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"Column {column!r}, row {row} holds {_shown(values[row])}: only 0 and 1 are labels.")
    return rows.astype(bool)


def _shown(value: Any) -> str:
    return reprlib.repr(np.asarray(value).tolist())


def rarest_labels(labels: np.ndarray) -> np.ndarray:
    """
    One class id for each text `(texts,)`: the rarest of several labels, or, for a text without labels, the number of
    classes. Class ids are returned unchanged.
    """
    if labels.ndim == 1:
        return labels
    counts = np.append(labels.sum(axis=0), len(labels) + 1)
    with_none = np.column_stack([labels, ~labels.any(axis=1)])
    return np.where(with_none, counts, len(labels) + 2).argmin(axis=1)


def class_counts(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """Number of texts with each label `(num_labels,)`, from class ids `(texts,)` or rows `(texts, num_labels)`."""
    return labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=num_labels)
