"""What a data set holds, in one table: before anybody trains on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from datasets import Dataset, DatasetDict

from ..support.tables import format_table
from .labels import label_column
from .lengths import token_counts
from .repeats import conflicting, repeated, text_keys


@dataclass(frozen=True)
class SplitSummary:
    """
    What a split holds. Texts are the same where they are equal, letter by letter, but for blanks at both ends.

    Args:
        rows (`int`): number of texts.
        per_class (`list[int]`, *optional*): number of texts of each class, by id; `None` without labels, as below.
        median_length, long_length, longest (`int`): tokens of a text before it is cut, special tokens included: the
            median, the 95th percentile and the maximum.
        truncated (`int`): texts that were cut.
        duplicates (`int`): rows that say what a row before them says: the same text with the same label.
        conflicts (`int`, *optional*): rows whose text stands under several labels.
        leaked (`int`, *optional*): rows whose text also stands in the training split; `None` for that split itself.
        dropped (`dict[str, int]`): rows that are not there, by the reason.
    """

    rows: int
    per_class: list[int] | None
    median_length: int
    long_length: int
    longest: int
    truncated: int
    duplicates: int
    conflicts: int | None
    leaked: int | None
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSummary:
    """
    What all splits hold; see [`summarize`].

    Args:
        names (`list[str]`): class names by id.
        splits (`dict[str, SplitSummary]`): by name.
    """

    names: list[str]
    splits: dict[str, SplitSummary]

    def format(self) -> str:
        """The aligned table: a column per split, a row per class and per thing to know."""
        lines = {
            "rows": [split.rows for split in self.splits.values()],
            **{
                f"  {name}": [split.per_class and split.per_class[index] for split in self.splits.values()]
                for index, name in enumerate(self.names)
            },
            "tokens, median": [split.median_length for split in self.splits.values()],
            "tokens, 95th percentile": [split.long_length for split in self.splits.values()],
            "tokens, longest": [split.longest for split in self.splits.values()],
            "too long, cut": [split.truncated for split in self.splits.values()],
            "same text and label again": [split.duplicates for split in self.splits.values()],
            "same text, several labels": [split.conflicts for split in self.splits.values()],
            "text also in train": [split.leaked for split in self.splits.values()],
        }
        for reason in dict.fromkeys(reason for split in self.splits.values() for reason in split.dropped):
            lines[f"dropped: {reason}"] = [split.dropped.get(reason, 0) for split in self.splits.values()]
        rows = [
            {"": line} | {name: "-" if value is None else value for name, value in zip(self.splits, values)}
            for line, values in lines.items()
        ]
        return format_table(rows)


def summarize(
    splits: DatasetDict,
    names: list[str],
    text_columns: list[str] | tuple[str, ...] = ("text",),
    *,
    dropped: Mapping[str, dict[str, int]] | None = None,
) -> DataSummary:
    """
    Counts what is worth knowing about a data set: classes, lengths, repeated and conflicting texts, texts of other
    splits that were trained on.

    Texts are compared by their hashes, so that neither they nor their tokens are held in memory.

    Args:
        splits (`datasets.DatasetDict`): from [`encode_labels`] and [`tokenize_texts`] with `return_length=True`.
        names (`list[str]`): class names by id.
        text_columns (`list[str]`, *optional*, defaults to `["text"]`): what makes up a text.
        dropped (`dict[str, dict[str, int]]`, *optional*): split -> reason -> rows that were dropped before.

    Returns:
        [`DataSummary`]

    Raises:
        ValueError: for splits without the column `length`, or without rows.

    Example:

    ```python
    >>> from hf_lcl.data import encode_labels, load_splits, summarize, tokenize_texts

    >>> splits, names = encode_labels(load_splits({"train": "examples/data/feelings_train.jsonl"}))
    >>> splits = tokenize_texts(splits, tokenizer, return_length=True)
    >>> print(summarize(splits, names).format())
    ```
    """
    summaries, trained = {}, None
    for split in sorted(splits, key=lambda split: split != "train"):
        if "length" not in splits[split].column_names:
            raise ValueError(
                f"The {split} split has no column 'length': write tokenize_texts(splits, tokenizer, "
                "return_length=True)."
            )
        if not len(splits[split]):
            raise ValueError(f"The {split} split has no rows: leave it out (remove_splits).")
        keys = text_keys(splits[split], text_columns, split=split)
        leaked = None if trained is None else int(np.isin(keys, trained).sum())
        summaries[split] = _summarize_split(splits[split], keys, len(names), leaked, (dropped or {}).get(split, {}))
        if split == "train":
            trained = keys
    return DataSummary(names, {split: summaries[split] for split in splits})


def _summarize_split(
    dataset: Dataset, keys: np.ndarray, num_labels: int, leaked: int | None, dropped: dict[str, int]
) -> SplitSummary:
    has_labels = "labels" in dataset.column_names
    labels = label_column(dataset) if has_labels else np.zeros(len(keys), dtype=np.int64)
    lengths = dataset.select_columns("length").with_format("numpy")["length"][:]
    median, long = np.quantile(lengths, [0.5, 0.95], method="inverted_cdf").tolist()
    return SplitSummary(
        rows=len(dataset),
        per_class=np.bincount(labels, minlength=num_labels).tolist() if has_labels else None,
        median_length=median,
        long_length=long,
        longest=int(lengths.max()),
        truncated=int((lengths > token_counts(dataset)).sum()),
        duplicates=int(repeated(keys, labels).sum()),
        conflicts=int(conflicting(keys, labels).sum()) if has_labels else None,
        leaked=leaked,
        dropped=dropped,
    )
