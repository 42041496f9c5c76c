"""Converts rows that are not tokenised yet, in any supported form, to rows with class ids and token ids."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from datasets import Dataset, DatasetDict
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..data.cells import lacks, listed
from ..data.labels import encode_labels
from ..data.loading import as_names, as_splits, is_by_split
from ..data.reading import named_columns
from ..data.tokenizing import tokenize_texts
from ..model.classes import are_placeholders, class_names
from ..model.loading import transformer_folder


TOKENS = {"input_ids", "inputs_embeds"}


class RawRows:
    """
    Encodes labels and tokenises texts for a trainer, with one tokenizer and the classes of the training set for all of
    its data sets. Data sets with token ids, streams and torch data sets are returned unchanged.

    Without a tokenizer, that of the model is loaded. Several text columns are joined; by default the column is `text`,
    else `sentence`. Labels are names or ids.
    """

    def __init__(
        self,
        model: PreTrainedModel | str | PathLike | None,
        tokenizer: PreTrainedTokenizerBase | None,
        text_column: str | Sequence[str] | None = None,
        label_column: str | None = None,
    ):
        self.tokenizer, self.found_some = tokenizer, False
        self._path: Any = getattr(getattr(model, "native", model), "name_or_path", model)
        self.names = known_names(model) if isinstance(model, PreTrainedModel) else []
        self._texts = None if text_column is None else as_names(text_column)
        self._label = label_column or "label"

    def __call__(self, data: Any, split: str = "test", model: PreTrainedModel | None = None) -> Any:
        """
        Converts a data set, or several by name; a list of strings is read as texts without labels. The classes are
        those of the `model`, else those of the first data set that was converted.

        Raises:
            ValueError: for a missing column, text or label, an unknown label, or if no tokenizer can be loaded.
        """
        if not is_raw(data):
            return data
        if is_by_split(data):
            if split == "train":
                raise ValueError(f"train_dataset holds {listed(data)}: give one, train_dataset=splits['train'].")
            return {name: self(part, name, model) for name, part in data.items()}
        self.found_some = True
        if isinstance(data, list | tuple) and isinstance(data[0], str):
            return tokenize_texts({split: {"text": list(data)}}, self._load_tokenizer())[split]
        splits = DatasetDict({split: as_splits(data)[0]["train"]})
        columns = splits[split].column_names
        texts = self._texts or named_columns(None, columns)
        for name, argument in [*((text, "text_column") for text in texts), (self._label, "label_column")]:
            if name not in columns and (argument == "text_column" or split == "train"):
                raise ValueError(lacks(f"The {split} data", "column", name, columns, f"Name it: {argument}='...'."))
        if self._label in columns:
            names = self.names if model is None else known_names(model)
            splits, self.names = encode_labels(splits, self._label, names or None)
        return tokenize_texts(splits, self._load_tokenizer(), texts)[split]

    def _load_tokenizer(self) -> PreTrainedTokenizerBase:
        if self.tokenizer is None:
            try:
                self.tokenizer = AutoTokenizer.from_pretrained(transformer_folder(self._path or ""))
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"No tokenizer can be loaded from {self._path or 'a model without a name'}: pass "
                    "processing_class=AutoTokenizer.from_pretrained(...)."
                ) from error
        return self.tokenizer


def known_names(model: PreTrainedModel) -> list[str]:
    """The class names of a model; empty if they are transformers' placeholders (`"LABEL_0"`, ...)."""
    names = class_names(model.config)
    return [] if are_placeholders(names) else names


def is_raw(data: Any) -> bool:
    """Whether rows, or several sets of them, are texts in a supported form, without token ids."""
    if isinstance(data, Dataset):
        return not TOKENS & {*data.column_names}
    if isinstance(data, list | tuple) and data:
        return isinstance(data[0], str) or (isinstance(data[0], Mapping) and not TOKENS & data[0].keys())
    return isinstance(data, Mapping | str | PathLike) or hasattr(data, "__arrow_c_stream__")
