"""The flags shared by the commands on a finished model: which model, and how texts are read."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..support.files import check_has_model
from .arguments import DataArguments
from .exits import UsageError, wrong_usage
from .parsing import SETTINGS, command_parser, given_names, parse_strictly, read_settings, refuse


HOW_TEXTS_ARE_READ = (
    *("text_column_names", "text_column_delimiter", "sentence_pair", "max_seq_length"),
    *("encoding", "delimiter", "json_field", "skip_bad_rows"),
)
# A file of another form, or with faults of its own, must not be read like that of the training without being asked.
NOT_REMEMBERED = ("json_field", "skip_bad_rows")
HOW_ROWS_ARE_READ = (*HOW_TEXTS_ARE_READ, "label_column_name")
HOW_LABELS_ARE_READ = ("label_column_name", "label_delimiter", "label_columns")


def model_parser(command: str, description: str, *, writes_into_folder: bool = False) -> ArgumentParser:
    """A parser with these flags; with `writes_into_folder`, the model must be a local folder."""
    parser = command_parser(command, description)
    name, where = ("OUTPUT_DIR", "folder") if writes_into_folder else ("MODEL", "folder or Hub id")
    parser.add_argument("model", metavar=name, help=f"{where} of any finished sequence classifier")
    add_data_flags(parser, "how the texts are read", *HOW_TEXTS_ARE_READ)
    add_running(parser, has_revision=not writes_into_folder)
    return parser


def add_running(parser: ArgumentParser, *, has_revision: bool = False) -> None:
    """Flags that say how a model is run."""
    add = parser.add_argument_group("how the model is run").add_argument
    add("--batch_size", type=int, default=32, help="texts per batch")
    if has_revision:
        add("--revision", help="branch, tag or commit of a model on the Hub")
    add("--trust_remote_code", action="store_true", help="run code that comes with the model")


def add_data_flags(parser: ArgumentParser, title: str, *names: str) -> None:
    """Adds a group of flags for the named fields of [`DataArguments`], with their defaults and help."""
    group = parser.add_argument_group(title)
    for item in fields(DataArguments):
        if item.name in names:
            kind: dict[str, Any] = {"default": item.default, "help": item.metadata["help"]}
            kind |= {"action": "store_true"} if item.type is bool else {"type": int if item.type is int else str}
            kind |= {"nargs": "+"} if item.name == "label_columns" else {}
            group.add_argument(f"--{item.name}", **kind)


def given_flags(values: Mapping[str, Any]) -> list[str]:
    """The flags on how rows are read whose values are not the defaults, as words of a command line."""
    typed = []
    for item in fields(DataArguments):
        if item.name in HOW_ROWS_ARE_READ and values[item.name] != item.default:
            typed += [f"--{item.name}", *([] if item.type is bool else [str(values[item.name])])]
    return typed


def add_labelled_data(parser: ArgumentParser, *others: str) -> None:
    """Flags that say where texts with labels are."""
    names = ("dataset_name", "dataset_config_name", "test_file", *HOW_LABELS_ARE_READ, *others)
    add_data_flags(parser, "the texts and their labels", *names)


def parse_model_flags(parser: ArgumentParser, argv: list[str]) -> tuple[Namespace, DataArguments]:
    """[`parse_flags`] with defaults from the `settings.yaml` that `train` wrote beside a model."""
    model, names = parse_strictly(parser, argv).model, {*HOW_TEXTS_ARE_READ, *HOW_LABELS_ARE_READ}
    given = given_names(argv)
    if given & {"label_delimiter", "label_columns"}:  # which exclude one another
        names -= {*HOW_LABELS_ARE_READ}
    known = remembered(Path(model), names - {*NOT_REMEMBERED})
    parser.set_defaults(**known)
    for name in ("encoding", "delimiter"):
        if name in known and name not in given:
            print(f"{name} {known[name]!r}, as in training; --{name} overrides", file=sys.stderr)
    return parse_flags(parser, argv)


def model_folder(name: str) -> Path:
    """The folder of a model; raises a `UsageError` if it holds none."""
    folder = Path(name)
    with wrong_usage():
        check_has_model(folder)
    return folder


def remembered(folder: Path, names: set[str]) -> dict[str, Any]:
    """The settings with these names that `train` wrote into a folder; empty if there are none."""
    settings = read_settings(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    return {name: value for name, value in settings.items() if name in names}


def parse_flags(parser: ArgumentParser, argv: list[str]) -> tuple[Namespace, DataArguments]:
    """All flags, and those of [`DataArguments`]. Raises a `UsageError` if a value, file or column is invalid."""
    flags = parse_strictly(parser, argv)
    if getattr(flags, "batch_size", 1) < 1:
        raise UsageError(f"--batch_size {flags.batch_size} must be at least 1.")
    known = {item.name for item in fields(DataArguments)}
    with wrong_usage():
        data_args = DataArguments(**{name: value for name, value in vars(flags).items() if name in known})
    refuse(data_args.problems())
    return flags, data_args
