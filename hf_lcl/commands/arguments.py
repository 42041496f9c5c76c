"""The flags of `run_classification.py` about model and data, by the names that transformers' own script gave them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from ..data import drop_conflicts, encode_labels, summarize, tokenize_texts
from ..data.cells import listed
from ..data.labels import LABEL_NAMES
from ..data.loading import LINE, load_splits
from ..data.reading import Reader, named_columns
from ..data.summary import DataSummary
from ..data.tokenizing import check_text_columns
from ..model.classes import class_names
from ..model.configuration import POOLINGS, WEIGHTINGS
from ..model.loading import transformer_folder
from ..model.modeling import LCLForSequenceClassification
from ..support.files import check_weights
from ..training_args import check_choice


@dataclass
class ModelArguments:
    """
    Which encoder, and what is built on it.

    Args:
        model_name_or_path (`str`): Hub id or folder of an encoder or a sequence classifier.
        pooling (`str`, *optional*): see [`LCLConfig`]; defaults to what the architecture's own classifier uses.
        weighting (`str`, *optional*, defaults to `"head"`): see [`LCLConfig`]; used by `objective="lcl"` alone.
        others: as in transformers' `run_classification.py`.
    """

    _argument_group_name = "the model"

    model_name_or_path: str = field(metadata={"help": "Hub id or folder of an encoder or a sequence classifier."})
    pooling: str | None = field(
        default=None, metadata={"help": "cls, mean or last; defaults to what the architecture's own classifier uses."}
    )
    weighting: str = field(
        default="head", metadata={"help": "Weighting network of the lcl objective: head, encoder or classifier."}
    )
    config_name: str | None = field(default=None, metadata={"help": "Another name or path for the configuration."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "Another name or path for the tokenizer."})
    cache_dir: str | None = field(default=None, metadata={"help": "Where downloads are kept."})
    use_fast_tokenizer: bool = field(default=True, metadata={"help": "Use the tokenizers library where it can."})
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of the model."})
    token: str | None = field(default=None, metadata={"help": "Hub token; better set by `hf auth login`."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Run code that the model's repository holds."})
    ignore_mismatched_sizes: bool = field(
        default=False,
        metadata={
            "help": "Taken for the sake of transformers' own script; a head of another size always starts anew."
        },
    )

    def __post_init__(self):
        self.model_name_or_path = transformer_folder(self.model_name_or_path)
        if self.pooling is not None:
            check_choice("pooling", self.pooling, POOLINGS)
        check_choice("weighting", self.weighting, WEIGHTINGS)

    def load_config(self) -> PreTrainedConfig:
        """The configuration of the model; raises a `ValueError` where there is none under that name."""
        name = self.config_name or self.model_name_or_path
        try:
            return AutoConfig.from_pretrained(name, **self.hub_arguments)
        except (OSError, ValueError) as error:
            raise ValueError(f"No model can be loaded from {name}: {error}") from error

    def build_model(self, names: list[str], objective: str) -> LCLForSequenceClassification:
        """
        The encoder with a classifier of these classes and, for `objective="lcl"`, a weighting network.

        Args:
            names (`list[str]`): class names by id.
            objective (`str`): `"ce"`, `"scl"` or `"lcl"`.

        Raises:
            ValueError: where there is no model under that name, its weights are cut, or it does not fit.
        """
        check_weights(self.model_name_or_path)
        return LCLForSequenceClassification.from_encoder(
            self.model_name_or_path,
            id2label=dict(enumerate(names)),
            pooling=self.pooling,
            weighting=self.weighting if objective == "lcl" else "none",
            config=self.load_config(),
            **self.hub_arguments,
        )

    @property
    def hub_arguments(self) -> dict[str, Any]:
        """What `from_pretrained` of models and tokenizers alike takes."""
        return {
            "cache_dir": self.cache_dir,
            "revision": self.model_revision,
            "token": self.token,
            "trust_remote_code": self.trust_remote_code,
        }


@dataclass
class DataArguments:
    """
    Which texts and labels, and how they are read.

    Args:
        train_file, validation_file, test_file (`str`, *optional*): see [`load_splits`].
        dataset_name (`str`, *optional*): a data set on the Hub instead of files.
        text_column_names (`str`, *optional*): one column or several, separated by commas.
        sentence_pair (`bool`, *optional*, defaults to `False`): whether two text columns are a sentence pair.
        label_column_name (`str`, *optional*): class names or ids.
        drop_conflicts (`bool`, *optional*, defaults to `False`): whether to leave out training texts that stand under
            several labels.
        encoding, delimiter, json_field, skip_bad_rows: see [`~data.reading.Reader`].
        view_column (`str`, *optional*): a second view of each training text, for `num_views=2` and `view="column"`.
        others: as in transformers' `run_classification.py`.
    """

    _argument_group_name = "the data"

    dataset_name: str | None = field(default=None, metadata={"help": "A data set on the Hub."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    train_file: str | None = field(default=None, metadata={"help": "csv, tsv, json, jsonl, txt or parquet, or .gz."})
    validation_file: str | None = field(default=None, metadata={"help": "Of the same kind as the train file."})
    test_file: str | None = field(default=None, metadata={"help": "Of the same kind; its labels are optional."})
    text_column_names: str | None = field(
        default=None, metadata={"help": "Text column(s), separated by commas; defaults to text, then sentence."}
    )
    text_column_delimiter: str = field(default=" ", metadata={"help": "What joins several text columns."})
    sentence_pair: bool = field(
        default=False, metadata={"help": "Give two text columns to the tokenizer as a pair, instead of joined."}
    )
    label_column_name: str | None = field(default=None, metadata={"help": "Label column; defaults to label."})
    drop_conflicts: bool = field(
        default=False, metadata={"help": "Leave out all training rows of a text that stands under several labels."}
    )
    view_column: str | None = field(
        default=None, metadata={"help": "Column with a second view of each training text, for --view column."}
    )
    train_split_name: str | None = field(default=None, metadata={"help": "Name of the train split on the Hub."})
    validation_split_name: str | None = field(default=None, metadata={"help": "Likewise for validation."})
    test_split_name: str | None = field(default=None, metadata={"help": "Likewise for test."})
    remove_splits: str | None = field(default=None, metadata={"help": "Splits to drop, separated by commas."})
    remove_columns: str | None = field(default=None, metadata={"help": "Columns to drop, separated by commas."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    pad_to_max_length: bool = field(
        default=False, metadata={"help": "Pad every text to max_seq_length instead of to the longest of its batch."}
    )
    preprocessing_num_workers: int | None = field(default=None, metadata={"help": "Processes that tokenize."})
    overwrite_cache: bool = field(default=False, metadata={"help": "Tokenize again although it was done before."})
    shuffle_train_dataset: bool = field(default=False, metadata={"help": "Shuffle before max_train_samples cuts."})
    shuffle_seed: int = field(default=42, metadata={"help": "Seed of that shuffle."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Use the first so many training texts."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use the first so many validation texts."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Use the first so many test texts."})
    encoding: str = field(default="utf-8", metadata={"help": "Of the files: utf-8, cp1252, utf-16, ..."})
    delimiter: str | None = field(
        default=None,
        metadata={"help": "Between the cells of a csv; default: the one of , ; tab | in its header."},
    )
    json_field: str | None = field(
        default=None, metadata={"help": "Field of a JSON object that holds the list of rows."}
    )
    skip_bad_rows: bool = field(
        default=False, metadata={"help": "Leave out rows that are broken or lack a text or a label, and count them."}
    )
    # Rows that were left out, by split and reason.
    dropped: dict[str, Counter[str]] = field(default_factory=dict, init=False)

    def __post_init__(self):
        for name in ("max_train_samples", "max_eval_samples", "max_predict_samples"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name}={limit} leaves no rows: use at least 1, or leave it out.")
        self.reader = Reader(self.encoding, self.delimiter, self.json_field, self.skip_bad_rows)

    @property
    def files(self) -> dict[str, str]:
        """Split name to file, for the files that were given."""
        files = {"train": self.train_file, "validation": self.validation_file, "test": self.test_file}
        return {split: path for split, path in files.items() if path is not None}

    def card_facts(self, splits: DatasetDict) -> dict[str, Any]:
        """
        What a card says of the data: arguments of [`ContrastiveTrainer.create_model_card`].

        Args:
            splits (`DatasetDict`): as from [`DataArguments.load`] or [`DataArguments.prepare`].
        """
        left_out = [
            f"{count:,} rows of the {split} split were left out ({reason})."
            for split, reasons in self.dropped.items()
            for reason, count in reasons.items()
            if count
        ]
        return {
            "dataset_tags": self.dataset_name,
            "dataset_revision": _revision(splits),
            "data_notes": left_out,
        }

    def text_columns(self, splits: DatasetDict) -> list[str]:
        """Names of the text columns of what was loaded; raises a `ValueError` where a split lacks one of them."""
        names = named_columns(self.text_column_names, next(iter(splits.values())).column_names)
        names = [_text_name(name) for name in names]
        check_text_columns(splits, names)
        return names

    def load(self, cache_dir: str | None = None, token: str | None = None) -> DatasetDict:
        """
        Reads all splits, cut and stripped as asked. Of files, only the columns that are used are read, and each row
        keeps its line in the column `__line__`.

        Args:
            cache_dir (`str`, *optional*): where `datasets` keeps what it downloads.
            token (`str`, *optional*): Hub token.

        Raises:
            ValueError: if neither a file nor a data set was named, or what was named cannot be read.
        """
        self.dropped.clear()
        label_column = self.label_column_name or "label"
        if self.dataset_name is not None:
            splits = load_dataset(self.dataset_name, self.dataset_config_name, cache_dir=cache_dir, token=token)
            texts = named_columns(self.text_column_names, next(iter(splits.values())).column_names)
        elif self.files:
            split, path = next(iter(self.files.items()))
            texts = named_columns(self.text_column_names, self.reader.columns(path, split))
        else:
            raise ValueError("No data: give --train_file and --validation_file, or --dataset_name.")
        if label_column in texts:
            raise ValueError(
                f"Column {label_column!r} cannot be both text and label: name two by --text_column_names and "
                "--label_column_name."
            )
        if self.dataset_name is None:
            columns = [*texts, label_column, *([self.view_column] if self.view_column else [])]
            splits = load_splits(
                self.files,
                columns=columns,
                text_columns=texts,
                label_column=label_column,
                return_lines=True,
                dropped=self.dropped,
                **asdict(self.reader),
            )
        for name in texts:
            if name != _text_name(name):
                splits = splits.rename_column(name, _text_name(name))
        for name in _names(self.remove_splits):
            _pop(splits, name)
        for wanted in ("train", "validation", "test"):
            name = getattr(self, f"{wanted}_split_name")
            if name is not None:
                splits[wanted] = _pop(splits, name)
        splits = without(splits, *_names(self.remove_columns))
        if self.shuffle_train_dataset and "train" in splits:
            splits["train"] = splits["train"].shuffle(seed=self.shuffle_seed)
        limits = {
            "train": ("max_train_samples", self.max_train_samples),
            "validation": ("max_eval_samples", self.max_eval_samples),
            "test": ("max_predict_samples", self.max_predict_samples),
        }
        for split, (name, limit) in limits.items():
            if limit is not None and split in splits and limit < len(splits[split]):
                self.dropped.setdefault(split, Counter())[name] = len(splits[split]) - limit
                splits[split] = splits[split].select(range(limit))
        return splits

    def prepare(
        self, model_args: ModelArguments, config: PreTrainedConfig, needed: Sequence[str]
    ) -> tuple[DatasetDict, list[str], PreTrainedTokenizerBase, DataSummary]:
        """
        From files to what a trainer takes: reads the splits, turns labels into class ids and texts into tokens.

        Args:
            model_args ([`ModelArguments`]): names the tokenizer.
            config (`PreTrainedConfig`): of the model; its classes are used where there is no training split.
            needed (`Sequence[str]`): splits that must be there: `"train"`, `"validation"` (with labels), `"test"`.

        Returns:
            `tuple`: tokenised splits, class names, the tokenizer, and what the data holds.

        Raises:
            ValueError: for data that cannot be read, or that lacks a split or a column.
        """
        splits = self.load(cache_dir=model_args.cache_dir, token=model_args.token)
        for split in needed:
            if split not in splits:
                raise ValueError(f"No {split} split: give --{split}_file. The data has {', '.join(splits)}.")
        known = None if "train" in splits else class_names(config)
        text_columns, label_column = self.text_columns(splits), self.label_column_name or "label"
        if known is None:
            self.check_labels(splits, ["train"], label_column)
        try:
            splits, names = encode_labels(splits, label_column, names=known)
            if self.drop_conflicts and "train" in needed:
                splits, conflicts = drop_conflicts(splits, text_columns)
                self.dropped.setdefault("train", Counter())["several labels"] = conflicts
        except ValueError as error:
            cut = self.dropped.get("train", Counter())["max_train_samples"]
            if not cut:
                raise
            raise ValueError(
                f"{error} (--max_train_samples {self.max_train_samples} left {cut:,} rows of the train split out.)"
            ) from error
        self.check_labels(splits, {"validation"} & set(needed))
        tokenizer = AutoTokenizer.from_pretrained(
            model_args.tokenizer_name or model_args.model_name_or_path,
            use_fast=model_args.use_fast_tokenizer,
            **model_args.hub_arguments,
        )
        splits = self.tokenize(splits, tokenizer, text_columns)
        summary = summarize(splits, names, text_columns, dropped=self.dropped)
        return without(splits, "length", LINE), names, tokenizer, summary

    def check_labels(self, splits: DatasetDict, needed: Iterable[str], column: str = "labels") -> None:
        """Raises a `ValueError` that lists what is in the file of a split that lacks a column of labels."""
        label_column = self.label_column_name or "label"
        for split in needed:
            if column in splits[split].column_names:
                continue
            path = self.files.get(split)
            columns = splits[split].column_names if path is None else self.reader.columns(path, split)
            if label_column in columns:
                raise ValueError(
                    f"The {split} split has no labels: column {label_column!r} is empty or -1 throughout."
                )
            raise ValueError(
                f"The {split} split has no label column {label_column!r}; its columns are {listed(columns)}. Name it "
                "with --label_column_name."
            )

    def tokenize(
        self, splits: DatasetDict, tokenizer: PreTrainedTokenizerBase, text_columns: Sequence[str]
    ) -> DatasetDict:
        """[`tokenize_texts`], as the flags say, with the lengths of the texts."""
        return tokenize_texts(
            splits,
            tokenizer,
            text_columns,
            delimiter=self.text_column_delimiter,
            sentence_pair=self.sentence_pair,
            max_length=self.max_seq_length,
            padding="max_length" if self.pad_to_max_length else False,
            return_length=True,
            view_column=self.view_column,
            num_proc=self.preprocessing_num_workers,
            load_from_cache_file=not self.overwrite_cache,
        )


def without(splits: DatasetDict, *names: str) -> DatasetDict:
    """The splits without some columns, which not all of them need have."""
    return DatasetDict(
        {
            split: dataset.remove_columns([name for name in dataset.column_names if name in names])
            for split, dataset in splits.items()
        }
    )


def _text_name(name: str) -> str:
    """A name for a text column that neither the Trainer nor a tokenizer takes for its own."""
    return f"{name} (text)" if name in (*LABEL_NAMES, "length", "input_ids", "attention_mask") else name


def _revision(splits: DatasetDict) -> str | None:
    """The commit of the Hub that a data set was loaded from, which `datasets` notes in the addresses of its files."""
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
