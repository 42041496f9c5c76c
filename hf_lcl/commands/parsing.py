"""Flags, or one file of settings."""

import json
import re
import sys
from argparse import SUPPRESS, Action, ArgumentDefaultsHelpFormatter, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from dataclasses import field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

from ..support.removed import refuse_removed


SETTINGS_FILES = (".json", ".yaml", ".yml")
SETTINGS = "settings.yaml"  # what `train` writes beside a classifier


class HelpFormatter(RawDescriptionHelpFormatter, ArgumentDefaultsHelpFormatter):
    """Help with paragraphs as they were written, and each flag under one name: `--max_steps`, not `--max-steps`."""

    def _format_action_invocation(self, action: Action) -> str:
        # argparse has no public way to leave out a flag's other spelling.
        flags = action.option_strings
        names = [flag for flag in flags if "-" not in flag[2:] or f"--{flag[2:].replace('-', '_')}" not in flags]
        if not flags or action.nargs == 0:
            return ", ".join(names) or super()._format_action_invocation(action)
        return f"{', '.join(names)} {self._format_args(action, self._get_default_metavar_for_optional(action))}"

    def _get_help_string(self, action: Action) -> str | None:
        # Nor is there one to leave out defaults that say nothing.
        return action.help if action.default in (None, False, "", " ") else super()._get_help_string(action)


class BriefHelp(Action):
    """Prints usage and description alone, where there is one; `--help_all` prints all flags."""

    def __call__(self, parser: ArgumentParser, *args: Any) -> None:
        """Prints, and ends the process."""
        if parser.description is None:
            parser.print_help()
        else:
            print(f"{parser.format_usage()}\n{parser.description}\n\n--help_all lists every flag.")
        parser.exit()


def flag(default: Any, help: str) -> Any:
    """A field of a dataclass with its default, and what `--help` says of it."""
    return field(default=default, metadata={"help": help})


def parse_arguments(
    dataclasses: Iterable[Any], argv: list[str] | None = None, **parser_arguments: Any
) -> tuple[Any, ...]:
    """
    Fills dataclasses from the command line, which may begin with a JSON or YAML file of settings; later flags override
    it.

    Args:
        dataclasses (`Iterable[type]`): every field of each is a flag.
        argv (`list[str]`, *optional*): the command line; defaults to that of this process.
        **parser_arguments: of `argparse.ArgumentParser` (`usage`, `description`, ...).

    Returns:
        `tuple`: one instance per dataclass.

    Raises:
        ValueError: for a value that a dataclass refuses, or a file that is missing or has unknown keys.
        TypeError: for an argument that was removed.
    """
    parser = HfArgumentParser(dataclasses, formatter_class=HelpFormatter, add_help=False, **parser_arguments)
    parser.add_argument("-h", "--help", action=BriefHelp, nargs=0, default=SUPPRESS, help="the flags that matter most")
    parser.add_argument("--help_all", "--help-all", action="help", help="every flag")
    flags = {action.dest: action for action in parser._actions}  # argparse lists its flags nowhere else
    argv = sys.argv[1:] if argv is None else argv
    settings = _settings(argv)
    refuse_removed(given_names(argv) - flags.keys())
    if unknown := sorted(settings.keys() - flags.keys()):
        raise ValueError(f"The settings file {argv[0]} has {', '.join(unknown)}, which is no flag: see --help.")
    for name in settings:
        flags[name].required = False
    parser.set_defaults(**settings)
    *parts, unknown = parser.parse_args_into_dataclasses(argv[1:] if settings else argv, return_remaining_strings=True)
    if unknown:
        name = next((word for word in unknown if word.startswith("-")), unknown[0])
        likely = get_close_matches(name.lstrip("-").split("=")[0], flags, n=1)
        guess = f"Did you mean --{likely[0]}? " if likely else ""
        raise ValueError(f"{name} is no flag of this command. {guess}See --help.")
    return tuple(parts)


def given_names(argv: list[str]) -> set[str]:
    """The names of the flags of a command line and of the settings file that it begins with."""
    flags = {name.removeprefix("--").split("=")[0].replace("-", "_") for name in argv if name.startswith("--")}
    return flags | _settings(argv).keys()


class _Loader(yaml.SafeLoader):
    """YAML in which 2e-5 is a number, as everywhere else; YAML 1.1 wants 2.0e-5."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def _settings(argv: list[str]) -> dict[str, Any]:
    path = Path(argv[0] if argv else "")
    return {} if str(path).startswith("-") or path.suffix not in SETTINGS_FILES else read_settings(path)


def read_settings(path: Path) -> dict[str, Any]:
    """Names and values of a JSON or YAML file; raises a `ValueError` where it holds none."""
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"The settings file {path} cannot be read: {error}") from error
    if not isinstance(settings, dict) or not settings:
        raise ValueError(f"The settings file {path} must hold names and values, not {settings!r}.")
    return settings
