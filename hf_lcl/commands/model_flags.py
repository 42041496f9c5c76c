"""The flags of all commands about a finished model: which one, and how texts are read for it."""

from argparse import ArgumentParser, Namespace
from dataclasses import fields
from typing import Any

from .arguments import DataArguments
from .parsing import HelpFormatter


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
    add = parser.add_argument_group("how the model is run").add_argument
    add("--batch_size", type=int, default=32, help="texts per batch")
    if not writes_into_folder:
        add("--revision", help="branch, tag or commit of a model on the Hub")
    add("--trust_remote_code", action="store_true", help="run code that comes with the model")
    return parser


def add_labelled_data(parser: ArgumentParser) -> Any:
    """Flags that say where texts with labels are; returns their group."""
    group = parser.add_argument_group("the texts and their labels")
    group.add_argument("--test_file", help="csv, json, jsonl or parquet (.gz may follow)")
    group.add_argument("--label_column_name", help="column of class names or ids; default: label")
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
