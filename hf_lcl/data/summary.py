"""A summary of a data set in one table, to read before training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np
from datasets import DatasetDict

from ..support.tables import format_table
from .labels import class_ids
from .lengths import token_counts
from .repeats import repeats, text_keys
from .several_labels import class_counts


TABLE_WORDS = {
    "median_length": "tokens, median",
    "long_length": "tokens, 95th percentile",
    "longest": "tokens, longest",
    "truncated": "too long, cut",
    "duplicates": "same text and label again",
    "conflicts": "same text, several labels",
    "leaked": "text also in train",
}
WORDS_OF_SEVERAL = {"unlabelled": "without a label", "labels_per_text": "labels per text"}
PAIRS = 3  # of labels that are shown


@dataclass(frozen=True)
class SplitSummary:
    """Statistics of a split; lengths are numbers of tokens before truncation, special tokens included."""

    rows: int
    per_class: list[int] | None  # texts of each class, by id; None without labels, as below
    median_length: int
    long_length: int  # the 95th percentile
    longest: int
    truncated: int  # texts that were cut
    duplicates: int  # rows that repeat the text and label of an earlier row
    conflicts: int | None  # rows whose text occurs with several labels
    leaked: int | None  # rows whose text also stands in the training split; None for that split
    dropped: dict[str, int]  # number of rows that were dropped, by reason
    # With several labels per text: their mean number, texts without labels, and the most frequent pairs of labels.
    labels_per_text: float | None = None
    unlabelled: int | None = None
    pairs: tuple[tuple[int, int, int], ...] = ()  # two class ids and their number of texts, most frequent first


@dataclass(frozen=True)
class DataSummary:
    """Statistics of all splits, by name, and the class names by id; see [`summarize`]."""

    names: list[str]
    splits: dict[str, SplitSummary]

    def brief(self) -> str:
        """A line of sizes, and one for each problem of the data."""
        sizes = ", ".join(f"{split.rows:,} {name}" for name, split in self.splits.items())
        counts = next((split.per_class for split in self.splits.values() if split.per_class), [0])
        first = f"{sizes} texts; {len(self.names)} classes of {min(counts):,} to {max(counts):,} texts"
        wrong = [
            f"{getattr(split, attribute):,} {name} texts: {TABLE_WORDS[attribute]}"
            for attribute in ("truncated", "duplicates", "conflicts", "leaked")
            for name, split in self.splits.items()
            if getattr(split, attribute)
        ]
        dropped = [
            f"{count:,} {name} rows left out: {reason}"
            for name, split in self.splits.items()
            for reason, count in split.dropped.items()
            if count
        ]
        return "\n".join([first, *self._several(), *wrong, *dropped])

    def _several(self) -> list[str]:
        """A line on the number of labels per text, if texts may have several."""
        split = next((split for split in self.splits.values() if split.labels_per_text is not None), None)
        if split is None:
            return self._joined()
        pairs = [f"{self.names[a]} with {self.names[b]} ({count:,})" for a, b, count in split.pairs]
        return [
            f"{split.labels_per_text:.2f} labels per text; {split.unlabelled:,} of {split.rows:,} texts have none; "
            f"most often together: {', '.join(pairs) or 'none'}"
        ]

    def _joined(self) -> list[str]:
        """A line on classes whose names are other classes with a delimiter between them."""
        for mark in "|;,":
            joined = [n for n in self.names if mark in n and {part.strip() for part in n.split(mark)} <= {*self.names}]
            if joined:
                classes = f"{len(joined):,} classes are" if len(joined) > 1 else "a class is"
                return [f"{classes} others in one cell, such as {joined[0]!r}: label_delimiter={mark!r} divides them"]
        return []

    def format(self) -> str:
        """The aligned table: one column per split, one row per class and per statistic."""
        splits = self.splits.values()
        lines: dict[str, list[Any]] = {"rows": [split.rows for split in splits]}
        for index, name in enumerate(self.names):
            lines[f"  {name}"] = [split.per_class and split.per_class[index] for split in splits]
        several = WORDS_OF_SEVERAL if any(split.unlabelled is not None for split in splits) else {}
        for attribute, words in {**several, **TABLE_WORDS}.items():
            lines[words] = [getattr(split, attribute) for split in splits]
        for reason in dict.fromkeys(reason for split in splits for reason in split.dropped):
            lines[f"dropped: {reason}"] = [split.dropped.get(reason, 0) for split in splits]
        return format_table(
            [
                {"": line} | {name: "-" if value is None else value for name, value in zip(self.splits, values)}
                for line, values in lines.items()
            ]
        )


def summarize(
    splits: DatasetDict,
    names: list[str],
    text_columns: Sequence[str] = ("text",),
    *,
    dropped: Mapping[str, dict[str, int]] | None = None,
) -> DataSummary:
    """
    Summarises a data set: classes, lengths, repeated and conflicting texts, and texts of other splits that are also in
    the training split.

    Texts are compared by their hashes, so that neither they nor their tokens are held in memory.

    Args:
        splits (`datasets.DatasetDict`): from [`encode_labels`] and [`tokenize_texts`] with `return_length=True`.
        names (`list[str]`): class names by id.
        text_columns (`Sequence[str]`, *optional*, defaults to `("text",)`): the columns that make up a text.
        dropped (`dict[str, dict[str, int]]`, *optional*): number of rows dropped before, by split and reason.

    Returns:
        [`DataSummary`]

    Raises:
        ValueError: if a split has no column `length`, or no rows.

    Example:

    ```python
    >>> from hf_lcl.data import encode_labels, load_splits, summarize, tokenize_texts

    >>> splits, names = encode_labels(load_splits({"train": "examples/data/feelings_train.jsonl"}))
    >>> splits = tokenize_texts(splits, tokenizer, return_length=True)
    >>> table = summarize(splits, names).format()
    ```
    """
    summaries: dict[str, SplitSummary] = {}
    trained = None
    for split in sorted(splits, key=lambda split: split != "train"):
        dataset = splits[split]
        if "length" not in dataset.column_names:
            raise ValueError(
                f"The {split} split has no column 'length': write tokenize_texts(splits, tokenizer, "
                "return_length=True)."
            )
        if not len(dataset):
            raise ValueError(f"The {split} split has no rows: leave it out (remove_splits).")
        keys = text_keys(dataset, text_columns, split)
        labels = class_ids(dataset) if "labels" in dataset.column_names else None
        repeated, conflicting = repeats(keys, np.zeros(len(keys)) if labels is None else labels)
        lengths = dataset.select_columns("length").with_format("numpy")["length"][:]
        median, long = np.quantile(lengths, [0.5, 0.95], method="inverted_cdf").tolist()
        summaries[split] = SplitSummary(
            rows=len(dataset),
            per_class=None if labels is None else class_counts(labels, len(names)).tolist(),
            median_length=median,
            long_length=long,
            longest=int(lengths.max()),
            truncated=int((lengths > token_counts(dataset)).sum()),
            duplicates=int(repeated.sum()),
            conflicts=None if labels is None else int(conflicting.sum()),
            leaked=None if trained is None else int(np.isin(keys, trained).sum()),
            dropped=(dropped or {}).get(split, {}),
            **_several_labels(labels),
        )
        if split == "train":
            trained = keys
    return DataSummary(names, {split: summaries[split] for split in splits})


def _several_labels(labels: np.ndarray | None) -> dict[str, Any]:
    if labels is None or labels.ndim == 1:
        return {}
    together = Counter(chain.from_iterable(combinations(np.flatnonzero(row).tolist(), 2) for row in labels))
    return {
        "labels_per_text": round(float(labels.sum(axis=1).mean()), 2),
        "unlabelled": int((~labels.any(axis=1)).sum()),
        "pairs": tuple((*pair, texts) for pair, texts in together.most_common(PAIRS)),
    }
