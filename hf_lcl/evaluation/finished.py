"""A finished model, from a folder or the Hub: the classifier, its tokenizer, labelled texts for it, its training."""

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import DatasetDict
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging

from ..commands.arguments import DataArguments
from ..data import encode_labels, tokenize_texts
from ..data.lengths import token_counts
from ..model.configuration import LCLConfig
from ..model.modeling import LCLForSequenceClassification


logger = logging.get_logger(__name__)


def load_finished(
    name: str | Path, *, trust_remote_code: bool = False, revision: str | None = None
) -> tuple[LCLForSequenceClassification, PreTrainedTokenizerBase]:
    """
    Any finished sequence classifier on the device of this process, wrapped so that it gives embeddings too, and its
    tokenizer. A standard classifier has no weighting network, and needs none.

    Args:
        name (`str` or `Path`): a folder, or an id on the Hub.
        trust_remote_code (`bool`, *optional*, defaults to `False`): whether to run code that comes with the model.
        revision (`str`, *optional*): branch, tag or commit on the Hub; defaults to `main`.

    Returns:
        `tuple[LCLForSequenceClassification, PreTrainedTokenizerBase]`

    Raises:
        ValueError: where there is no such model, it has no classifier or no tokenizer, or it is an adapter without its
            training model.

    Example:

    ```python
    >>> from hf_lcl.evaluation.finished import load_finished

    >>> model, tokenizer = load_finished("runs/feelings")
    ```
    """
    where = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    try:
        model = load_training_model(Path(name)) if is_adapter(Path(name)) else _load_model(name, where)
        if model is None:
            raise ValueError(
                "it holds an adapter alone, and no checkpoint-* with its encoder: save the merged classifier "
                "(merge_adapter=True)."
            )
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
    except (OSError, ValueError) as error:
        raise ValueError(f"No classifier can be loaded from {name}: {error}") from error
    # Without its files, transformers makes up a tokenizer to which every word is unknown.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(f"{name} holds no tokenizer: save the one it was trained with beside it.")
    return model, tokenizer


def _load_model(name: str | Path, where: dict[str, Any]) -> LCLForSequenceClassification:
    if AutoConfig.from_pretrained(name, **where).model_type == LCLConfig.model_type:
        return LCLForSequenceClassification.from_pretrained(name, **where).to(PartialState().device)
    native, report = AutoModelForSequenceClassification.from_pretrained(name, output_loading_info=True, **where)
    if report["missing_keys"]:
        raise ValueError(
            f"it has no weights for {', '.join(sorted(report['missing_keys']))}: it is no finished classifier, and "
            "would answer at random. Train it first: python -m hf_lcl train --help."
        )
    return LCLForSequenceClassification.from_native(native, weighting="none").to(PartialState().device)


def class_names(config: PreTrainedConfig) -> list[str]:
    """Class names by id."""
    return [config.id2label[index] for index in range(config.num_labels)]


def labelled_texts(
    data_args: DataArguments, model: LCLForSequenceClassification, tokenizer: PreTrainedTokenizerBase
) -> DatasetDict:
    """
    The splits but the training split, as the model takes them.

    Args:
        data_args ([`DataArguments`]): which files, columns and lengths.
        model ([`LCLForSequenceClassification`]): names the classes. Where its names are those that transformers makes
            up (`LABEL_0`, ...), labels may be the ids.
        tokenizer (`PreTrainedTokenizerBase`): of the model.

    Returns:
        `DatasetDict`: tokenised rows with `labels`; a test split among them.

    Raises:
        ValueError: for data that cannot be read, has no test split or lacks a column, and for labels that the model
            does not know.
    """
    if not (data_args.files or data_args.dataset_name):
        raise ValueError("No test split: give --test_file.")
    splits = data_args.load()
    if "test" not in splits:
        raise ValueError(f"No test split: give --test_file. The data has {', '.join(splits)}.")
    splits.pop("train", None)
    columns, label_column = data_args.text_columns(splits), data_args.label_column_name or "label"
    for split, dataset in splits.items():
        if label_column not in dataset.column_names:
            raise ValueError(
                f"The {split} split has no label column {label_column!r}; its columns are "
                f"{', '.join(dataset.column_names)}. Name it with --label_column_name."
            )
    names = class_names(model.config)
    made_up = [f"LABEL_{index}" for index in range(len(names))]
    if names == made_up and not set(map(str, splits["test"][label_column][:])) & set(names):
        names = [str(index) for index in range(len(names))]
    splits, _ = encode_labels(splits, label_column, names=names)
    splits = tokenize_texts(
        splits,
        tokenizer,
        columns,
        delimiter=data_args.text_column_delimiter,
        sentence_pair=data_args.sentence_pair,
        max_length=data_args.max_seq_length,
        return_length=True,
    )
    for split, dataset in splits.items():
        cut = int((token_counts(dataset) < dataset.with_format("numpy")["length"][:]).sum())
        if cut:
            logger.warning(f"{cut:,} texts of the {split} split have more tokens than --max_seq_length, and are cut.")
    return splits.remove_columns("length")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter of `peft` instead of a whole model."""
    return (folder / "adapter_config.json").is_file()


def load_training_model(folder: Path) -> LCLForSequenceClassification | None:
    """The training model of the last checkpoint in a folder, or `None` where there is none."""
    checkpoint = get_last_checkpoint(folder)
    if checkpoint is None or not (Path(checkpoint) / "config.json").is_file():
        return None
    settings = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    if settings["model_type"] != LCLConfig.model_type:
        return None
    return LCLForSequenceClassification.from_pretrained(checkpoint).to(PartialState().device)


def log_history(folder: Path) -> list[dict[str, Any]]:
    """What the Trainer logged, out of the folder or its last checkpoint; empty where it did not."""
    for place in (folder, get_last_checkpoint(folder)):
        if place is not None and (Path(place) / "trainer_state.json").is_file():
            return json.loads((Path(place) / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return []
