"""The data flags of `run_classification.py`, with the names that they have in transformers' own script."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset

from ..data.cells import LABEL_NAMES, lacks, listed
from ..data.formats import Row
from ..data.loading import load_splits
from ..data.reading import Reader, named_columns
from ..data.several_labels import join_label_columns, split_labels
from ..evaluation.decisions import check_goal
from ..evaluation.scope import Rule
from ..support.fields import option
from .parsing import CheckedArguments


# The flag that limits the number of rows of each split.
LIMITS = {"train": "max_train_samples", "validation": "max_eval_samples", "test": "max_predict_samples"}


@dataclass
class DataArguments(CheckedArguments):
    """The texts and labels, and how they are read. Every field is a flag, explained by its `help`."""

    _argument_group_name = "the data"

    dataset_name: str | None = option(None, "Id of a data set on the Hub, instead of files.")
    dataset_config_name: str | None = option(None, "Configuration of the data set on the Hub.")
    train_file: str | None = option(None, "Training texts: csv, tsv, json, jsonl, txt (.gz may follow) or parquet.")
    validation_file: str | None = option(None, "Validation texts: csv, tsv, json, jsonl, txt or parquet.")
    test_file: str | None = option(None, "Test texts: csv, tsv, json, jsonl, txt or parquet.")
    oos_file: str | None = option(None, "Out-of-scope texts, of none of the classes; formats as above.")
    out_of_scope: str | None = option(
        None,
        "Add a class out_of_scope to the finished classifier. Its threshold accepts 95 %% of the validation texts "
        "(keep=0.95), detects 90 %% of oos_file (recall=0.9) or has the best F1 on both (f1); none: no such class.",
    )
    text_column_names: str | None = option(None, "Text column(s), separated by commas; default: text, then sentence.")
    text_column_delimiter: str = option(" ", "Separator with which several text columns are joined.")
    sentence_pair: bool = option(False, "Give two text columns to the tokenizer as a pair, instead of joined.")
    label_column_name: str | None = option(
        None, "Column of class names or ids, or of lists of them (several labels per text); default: label."
    )
    label_delimiter: str | None = option(None, "Separator of the labels in a cell that holds several, as '|'.")
    label_columns: list[str] | None = option(None, "Columns of 0 and 1, one per label (several labels per text).")
    fold_thresholds: str | None = option(
        None,
        "Several labels per text: choose a threshold per label on the validation texts (f1, or precision=0.9), and "
        "shift the logits so that it becomes the probability 0.5.",
    )
    fold_temperature: bool | None = option(
        None,
        "One label per text: divide the logits by the temperature that calibrates the probabilities of the validation "
        "texts; default: with `train FILE`, if there are at least 10.",
    )
    drop_conflicts: bool = option(False, "Drop all training rows of texts that occur with different labels.")
    view_column: str | None = option(None, "Column with a second view of each training text, for --view column.")
    train_split_name: str | None = option(None, "Name of the train split on the Hub.")
    validation_split_name: str | None = option(None, "Name of the validation split on the Hub.")
    test_split_name: str | None = option(None, "Name of the test split on the Hub.")
    remove_splits: str | None = option(None, "Splits to drop, separated by commas.")
    remove_columns: str | None = option(None, "Columns to drop, separated by commas.")
    max_seq_length: int = option(128, "Longer texts are cut to this many tokens.")
    pad_to_max_length: bool = option(False, "Pad to max_seq_length instead of to the longest text of a batch.")
    preprocessing_num_workers: int | None = option(None, "Number of processes that tokenize.")
    overwrite_cache: bool = option(False, "Tokenize again instead of using the cache.")
    shuffle_train_dataset: bool = option(False, "Shuffle before max_train_samples is applied.")
    shuffle_seed: int = option(42, "Seed of shuffle_train_dataset.")
    validation_split: float | None = option(None, "Share of the training rows to hold out for validation.")
    test_split: float | None = option(None, "Share of the training rows to hold out for the test.")
    max_train_samples: int | None = option(None, "Use only this many training texts, the first ones.")
    max_eval_samples: int | None = option(None, "Use only this many validation texts, the first ones.")
    max_predict_samples: int | None = option(None, "Use only this many test texts, the first ones.")
    encoding: str = option("utf-8", "Encoding of the files: utf-8, cp1252, utf-16, ...")
    delimiter: str | None = option(None, "Delimiter of csv files; default: the one of , ; tab | in the header.")
    json_field: str | None = option(None, "Field of a JSON object that holds the list of rows.")
    skip_bad_rows: bool = option(False, "Leave out rows that are broken or lack a text or a label, and count them.")
    audit: bool = option(True, "With `train FILE`: count suspect labels by the embeddings of the head start.")
    license: str | None = option(None, "Licence of the classifier, such as apache-2.0, for its card.")
    widget_texts: list[str] | None = option(None, "Example texts for its page on the Hub: they become public.")
    verbose: bool = option(False, "Print all tables, metrics and warnings with `train FILE`, too.")
    # Whether what no flag sets is chosen by the data, as with `train FILE`.
    is_automatic: bool = field(default=False, init=False)
    # Facts about the encoder for the card, see `ModelArguments.card_facts`.
    encoder_facts: dict[str, Any] = field(default_factory=dict, init=False)
    # Number of rows left out, by split and reason.
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter), init=False)

    def __post_init__(self) -> None:
        for name in LIMITS.values():
            if (limit := getattr(self, name)) is not None and limit < 1:
                raise ValueError(f"{name}={limit} leaves no rows: use at least 1, or leave it out.")
        if self.max_seq_length < 1:
            raise ValueError(f"max_seq_length={self.max_seq_length} leaves no text: use 128, or another length.")
        self.rule = None if self.out_of_scope in (None, "none") else Rule.parse(self.out_of_scope)
        if self.label_columns is not None and self.label_delimiter is not None:
            raise ValueError("label_columns and label_delimiter are two ways to write labels: leave one of them out.")
        if self.label_delimiter == "":
            raise ValueError("label_delimiter is empty: write what stands between the labels of a text, as '|'.")
        if self.label_columns is not None and not 1 < len(self.label_columns) == len(set(self.label_columns)):
            raise ValueError(f"label_columns={self.label_columns} must name two columns or more, each once.")
        if self.fold_thresholds is not None:
            check_goal(self.fold_thresholds)
        self.reader = Reader(self.encoding, self.delimiter, self.json_field, self.skip_bad_rows)
        self.label_column = self.label_column_name or "label"
        self.text_columns: list[str] = []

    def problems(self) -> list[str]:
        """One message per file that cannot be read, and per column that a flag names and a file lacks."""
        found = []
        for split, path in self.files.items():
            try:
                columns = self.reader.columns(path, split)
                texts = [] if self.text_column_names is None else named_columns(self.text_column_names, columns)
            except ValueError as error:
                found.append(str(error))
                continue
            wanted = [("text", "text_column_names", name) for name in texts]
            if split == "train" and self.label_column_name is not None:
                wanted.append(("label", "label_column_name", self.label_column_name))
            found += [
                lacks(f"The {split} file {path}", f"{kind} column", name, columns, f"Name it with --{option}.")
                for kind, option, name in wanted
                if columns and name not in columns  # an empty file is reported when its rows are read
            ]
        return found

    @property
    def is_brief(self) -> bool:
        """Whether only few lines are printed."""
        return self.is_automatic and not self.verbose

    @property
    def files(self) -> dict[str, str]:
        """The given files by the name of their split."""
        files = {"train": self.train_file, "validation": self.validation_file, "test": self.test_file}
        return {split: path for split, path in files.items() if path is not None}

    @property
    def shares(self) -> dict[str, float]:
        """The share of the training rows to hold out for each new split."""
        shares = {"validation": self.validation_split, "test": self.test_split}
        return {split: share for split, share in shares.items() if share is not None}

    def card_facts(self, splits: DatasetDict) -> dict[str, Any]:
        """Facts about the loaded splits for the card: arguments of [`ContrastiveTrainer.create_model_card`]."""
        left_out = [
            f"{count:,} rows of the {split} split were left out ({reason})."
            for split, reasons in self.dropped.items()
            for reason, count in reasons.items()
            if count
        ]
        facts = {"dataset_tags": self.dataset_name, "dataset_revision": _revision(splits), "data_notes": left_out}
        return facts | self.encoder_facts | {"license": self.license, "widget_texts": self.widget_texts}

    def columns_of_texts(self, kind: str) -> str | None:
        """The text columns of a file of this kind. A txt file has a single one, whatever the other files have."""
        return None if kind == "txt" and not self.sentence_pair else self.text_column_names

    def text_of(self, row: Row) -> str:
        """The text of a row. Several text columns are joined."""
        return self.text_column_delimiter.join(row.texts)

    def texts(self, split: Dataset) -> list[str]:
        """The texts of a loaded split. Several text columns are joined."""
        columns = (split[name][:] for name in self.text_columns)
        return [self.text_column_delimiter.join(parts) for parts in zip(*columns)]

    def load(self, needed: Sequence[str], *, may_lack_labels: bool = False, **hub_options: Any) -> DatasetDict:
        """
        Reads all splits, removes the splits, columns and rows that the flags exclude, and sets `text_columns`. From
        files, only the used columns are read; the column `__line__` has the line of each row. Raises a `ValueError` if
        no file or data set is given, if it cannot be read, or if a split in `needed` is missing. `hub_options` are
        passed to `datasets.load_dataset`.
        """
        self.dropped.clear()
        if self.dataset_name is not None:
            splits = load_dataset(self.dataset_name, self.dataset_config_name, **hub_options)
            columns = next(iter(splits.values())).column_names
        elif self.files:
            split, path = next(iter(self.files.items()))
            columns = self.reader.columns(path, split)
        else:
            names = [f"--{split}_file" for split in needed]
            raise ValueError(f"No data: give {', '.join(names)}, or --dataset_name.")
        texts = named_columns(self.text_column_names, columns)
        labels = self.label_columns or [self.label_column]
        if missing := [name for name in self.label_columns or () if name not in columns]:
            raise ValueError(f"label_columns: there is no column {missing[0]!r}; the columns are {listed(columns)}.")
        if twice := [name for name in (*labels, self.label_column) if name in texts]:
            raise ValueError(
                f"Column {twice[0]!r} cannot be both text and label: name two by --text_column_names and "
                "--label_column_name."
            )
        if self.dataset_name is None:
            columns = [*texts, *labels, *([self.view_column] if self.view_column else [])]
            splits = load_splits(
                self.files,
                columns=columns,
                text_columns=texts,
                label_column=None if self.label_columns else self.label_column,
                may_lack_labels=may_lack_labels or self.label_delimiter is not None,
                return_lines=True,
                dropped=self.dropped,
                **asdict(self.reader),
            )
        if self.label_columns:
            splits = join_label_columns(without(splits, self.label_column), self.label_columns, self.label_column)
        elif self.label_delimiter is not None:
            splits = split_labels(splits, self.label_column, self.label_delimiter)
        # Text columns must not have names that the Trainer or a tokenizer uses.
        taken = (*LABEL_NAMES, "length", "input_ids", "attention_mask")
        self.text_columns = [f"{name} (text)" if name in taken else name for name in texts]
        splits = splits.rename_columns({old: new for old, new in zip(texts, self.text_columns) if old != new})
        if self.oos_file is not None:
            splits["oos"] = self._load_oos(self.oos_file, texts)
        for name in _names(self.remove_splits):
            _pop(splits, name)
        for split in LIMITS:
            if (name := getattr(self, f"{split}_split_name")) is not None:
                splits[split] = _pop(splits, name)
        for split in needed:
            if split not in splits and split not in self.shares:
                hold_out = f" or --{split}_split 0.1" if split != "train" else ""
                raise ValueError(f"No {split} split: give --{split}_file{hold_out}. The data has {', '.join(splits)}.")
        splits = without(splits, *_names(self.remove_columns))
        if self.shuffle_train_dataset and "train" in splits:
            splits["train"] = splits["train"].shuffle(seed=self.shuffle_seed)
        for split, name in LIMITS.items():
            limit = getattr(self, name)
            if limit is not None and split in splits and limit < len(splits[split]):
                self.dropped[split][name] = len(splits[split]) - limit
                splits[split] = splits[split].select(range(limit))
        return splits

    def _load_oos(self, path: str, texts: list[str]) -> Dataset:
        """The out-of-scope texts, read from `text` or `sentence` if the file lacks the training text column."""
        columns = self.reader.columns(path, "oos")
        found = texts if len(texts) > 1 or texts[0] in columns else named_columns(None, columns)
        options = {"return_lines": True, "dropped": self.dropped, **asdict(self.reader)}
        loaded = load_splits({"oos": path}, columns=found, text_columns=found, **options)["oos"]
        return loaded.rename_columns(dict(zip(found, self.text_columns)))


def without(splits: DatasetDict, *names: str) -> DatasetDict:
    """The splits without the named columns. A split may lack some of them."""
    dropped = {split: [name for name in rows.column_names if name in names] for split, rows in splits.items()}
    return DatasetDict({split: rows.remove_columns(dropped[split]) for split, rows in splits.items()})


def _revision(splits: DatasetDict) -> str | None:
    """The Hub commit that a data set was loaded from, as `datasets` records it in the URLs of the files."""
    for dataset in splits.values():
        for address in dataset.info.download_checksums or ():
            if found := re.search(r"^hf://datasets/[^@]+@([0-9a-f]{40})/", address):
                return found[1]
    return None


def _pop(splits: DatasetDict, name: str) -> Dataset:
    if name not in splits:
        raise ValueError(f"The data has no split {name!r}; its splits are {', '.join(splits)}.")
    return splits.pop(name)


def _names(value: str | None) -> list[str]:
    return [] if value is None else [name.strip() for name in value.split(",")]
