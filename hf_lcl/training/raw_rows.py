"""Converts rows that are not tokenised yet, in any supported form, to rows with class ids and token ids."""

from collections.abc import Mapping, Sequence
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np
from datasets import Column, Dataset, DatasetDict
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.tokenization_utils_base import LARGE_INTEGER

from ..data.cells import lacks, listed
from ..data.labels import encode_labels
from ..data.loading import as_names, as_splits, is_by_split
from ..data.reading import named_columns
from ..data.tokenizing import tokenize_texts
from ..model.classes import are_placeholders, class_names, spelled_names
from ..model.loading import transformer_folder


TOKENS = {"input_ids", "inputs_embeds"}
SKIPPED_POSITIONS = 2  # of the models that use the fewest of theirs, such as RoBERTa


class RawRows:
    """
    Encodes labels and tokenises texts for a trainer, with one tokenizer and the classes of the training set for all of
    its data sets. Data sets with token ids, streams and torch data sets are returned unchanged.

    Without a tokenizer, that of the model is loaded. Several text columns are joined; by default the column is `text`,
    else `sentence`. Labels are names, or ids where the classes have none, by default in `label`, else `labels`.
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
        self._config = model.config if isinstance(model, PreTrainedModel) else None
        self.names = known_names(model) if isinstance(model, PreTrainedModel) else []
        self._texts = None if text_column is None else as_names(text_column)
        self._label = label_column

    def __call__(
        self, data: Any, split: str = "test", model: PreTrainedModel | None = None, names: Sequence[str] = ()
    ) -> Any:
        """
        Converts a data set, or several by name; a sequence of strings is read as texts without labels. The classes are
        those of the `model`, else those of the training set, which are `names` if it is tokenised already.

        Raises:
            ValueError: for a missing column, text or label, an unknown label, or if no tokenizer can be loaded.
        """
        if isinstance(data, np.ndarray | Column) or type(data).__name__ == "Series":  # of pandas or polars
            data = list(data)
        if not is_raw(data):
            return data
        if is_by_split(data):
            if split == "train":
                raise ValueError(f"train_dataset holds {listed(data)}: give one, train_dataset=splits['train'].")
            return {name: self(part, name, model, names) for name, part in data.items()}
        self.found_some = True
        if isinstance(data, list | tuple) and isinstance(data[0], str):
            return self._tokenize(DatasetDict({split: Dataset.from_dict({"text": list(data)})}), ["text"])[split]
        splits = DatasetDict({split: as_splits(data)[0]["train"]})
        columns = splits[split].column_names
        texts = self._texts or named_columns(None, columns)
        label = self._label or ("labels" if "labels" in columns and "label" not in columns else "label")
        for name, argument in [*((text, "text_column") for text in texts), (label, "label_column")]:
            if name not in columns and (argument == "text_column" or split == "train"):
                raise ValueError(lacks(f"The {split} data", "column", name, columns, f"Name it: {argument}='...'."))
        if label in columns:
            known = self.names if model is None else known_names(model)
            if split != "train" and not known:
                cells = splits[split][label][:]
                labels = chain.from_iterable(cell if isinstance(cell, list) else [cell] for cell in cells)
                known = spelled_names(names if model is None else class_names(model.config), labels)
            splits, found = encode_labels(splits, label, known or None)
            self.names = self.names or found
        return self._tokenize(splits, texts)[split]

    def _tokenize(self, splits: DatasetDict, texts: Sequence[str]) -> DatasetDict:
        tokenizer, limit = self._load_tokenizer(), None
        if tokenizer.model_max_length > LARGE_INTEGER and (self._config or self._path):  # it does not know the limit
            self._config = self._config or AutoConfig.from_pretrained(transformer_folder(self._path))
            positions = getattr(self._config.get_text_config(), "max_position_embeddings", None) or 0
            limit = positions - SKIPPED_POSITIONS if positions > SKIPPED_POSITIONS else None
        return tokenize_texts(splits, tokenizer, texts, max_length=limit)

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
        columns = data[0] if data.format["type"] == "custom" and len(data) else data.column_names
        return not TOKENS & {*columns}
    if isinstance(data, list | tuple) and data:
        return isinstance(data[0], str) or (isinstance(data[0], Mapping) and not TOKENS & data[0].keys())
    return isinstance(data, Mapping | str | PathLike) or hasattr(data, "__arrow_c_stream__")
