"""The flags of all commands about a finished model: which one, and how texts are read for it."""

from argparse import ArgumentParser, Namespace
from dataclasses import fields
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ..data import encode_labels
from ..data.lengths import token_counts
from ..data.loading import LINE
from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification
from .arguments import DataArguments, without
from .parsing import HelpFormatter


logger = logging.get_logger(__name__)


def model_parser(command: str, description: str, *, writes_into_folder: bool = False) -> ArgumentParser:
    """
    A parser with these flags.

    Args:
        command (`str`): its name.
        description (`str`): stands above the flags in `--help`.
        writes_into_folder (`bool`, *optional*, defaults to `False`): whether the model has to lie in a folder, and
            cannot be one on the Hub.
    """
    parser = ArgumentParser(f"python -m hf_lcl {command}", description=description, formatter_class=HelpFormatter)
    if writes_into_folder:
        parser.add_argument("model", metavar="OUTPUT_DIR", help="folder of any finished sequence classifier")
    else:
        parser.add_argument("model", metavar="MODEL", help="folder or Hub id of any finished sequence classifier")
    add = parser.add_argument_group("how the texts are read").add_argument
    add("--text_column_names", help="text column(s), separated by commas; default: text, then sentence")
    add("--text_column_delimiter", default=" ", help="what joins several text columns")
    add("--sentence_pair", action="store_true", help="two text columns are a pair, as in training")
    add("--max_seq_length", type=int, default=128, help="longer texts are cut to this many tokens, as in training")
    add("--encoding", default="utf-8", help="of the files: utf-8, cp1252, utf-16, ...")
    add("--delimiter", help="between the cells of a csv; default: the one of , ; tab | in its header")
    add("--json_field", help="field of a JSON object that holds the list of rows")
    add("--skip_bad_rows", action="store_true", help="leave out rows that are broken or lack a text, and count them")
    add = parser.add_argument_group("how the model is run").add_argument
    add("--batch_size", type=int, default=32, help="texts per batch")
    if not writes_into_folder:
        add("--revision", help="branch, tag or commit of a model on the Hub")
    add("--trust_remote_code", action="store_true", help="run code that comes with the model")
    return parser


def add_labelled_data(parser: ArgumentParser) -> Any:
    """Flags that say where texts with labels are; returns their group."""
    group = parser.add_argument_group("the texts and their labels")
    group.add_argument("--test_file", help="csv, tsv, json, jsonl, txt or parquet (.gz may follow)")
    group.add_argument(
        "--label_column_name", help="column of class names, or of ids where the model has no names; default: label"
    )
    group.add_argument("--dataset_name", help="instead of files: a data set on the Hub")
    group.add_argument("--dataset_config_name", help="its configuration")
    return group


def data_arguments(flags: Namespace) -> DataArguments:
    """Those of the flags that [`DataArguments`] has. Raises a `ValueError` for one that is out of range."""
    if flags.batch_size < 1:
        raise ValueError(f"batch_size={flags.batch_size} must be at least 1.")
    if flags.max_seq_length < 1:
        raise ValueError(f"max_seq_length={flags.max_seq_length} leaves no text: use 128, or what training used.")
    known = {item.name for item in fields(DataArguments)}
    return DataArguments(**{name: value for name, value in vars(flags).items() if name in known})


def files_of_model(name: str) -> list[Path]:
    """The files that a model in a folder consists of: what no output may be written over."""
    patterns = ("config.json", "*.safetensors*", "*token*.json", "vocab*", "merges.txt", "README.md")
    return [path for pattern in patterns for path in Path(name).glob(pattern)]


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
    names = class_names(model.config)
    labels = splits["test"][label_column][:] if label_column in splits["test"].column_names else []
    if names == [f"LABEL_{index}" for index in range(len(names))] and not set(map(str, labels)) & set(names):
        names = [str(index) for index in range(len(names))]
    splits, _ = encode_labels(splits, label_column, names=names)
    data_args.check_labels(splits, splits)
    splits = data_args.tokenize(splits, tokenizer, columns)
    for split, dataset in splits.items():
        cut = int((token_counts(dataset) < dataset.with_format("numpy")["length"][:]).sum())
        if cut:
            logger.warning(f"{cut:,} texts of the {split} split have more tokens than --max_seq_length, and are cut.")
    return without(splits, "length", LINE)
