"""Parses flags and files of settings."""

import json
import re
import sys
from argparse import (
    SUPPRESS,
    Action,
    ArgumentDefaultsHelpFormatter,
    ArgumentError,
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Collection, Iterable
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from ..support.likely import did_you_mean
from ..support.removed import REMOVED_ARGUMENTS
from .exits import FLAGS, UsageError, wrong_usage


SETTINGS_FILES = (".json", ".yaml", ".yml")
SETTINGS = "settings.yaml"  # what `train` writes beside a classifier


class HelpFormatter(RawDescriptionHelpFormatter, ArgumentDefaultsHelpFormatter):
    """Keeps the line breaks of descriptions, and shows no empty defaults."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default in (None, False, "", " ") else super()._get_help_string(action)


class BriefHelp(Action):
    """Prints only usage and description, if there is a description; `--help_all` prints all flags."""

    def __call__(self, parser: ArgumentParser, *args: Any) -> None:
        if parser.description is None:
            parser.print_help()
        else:
            print(f"{parser.format_usage()}\n{parser.description}\n\n--help_all lists every flag.")
        parser.exit()


def command_parser(command: str, description: str) -> ArgumentParser:
    return ArgumentParser(
        f"python -m hf_lcl {command}", description=description, formatter_class=HelpFormatter, allow_abbrev=False
    )


def parse_arguments(
    dataclasses: Iterable[Any], argv: list[str] | None = None, **parser_arguments: Any
) -> tuple[Any, ...]:
    """
    Fills dataclasses, whose fields are the flags, from the command line (by default that of this process). The command
    line may begin with a JSON or YAML file of settings, which later flags override. `parser_arguments` are passed to
    `argparse.ArgumentParser`.

    Raises:
        UsageError: if a flag is unknown or was removed, if a value is invalid, if `CheckedArguments.problems` finds
            problems, or if the file of settings is missing. The message has all problems.
    """
    # `given_names` knows only whole names.
    options: dict[str, Any] = {"formatter_class": HelpFormatter, "add_help": False, "allow_abbrev": False}
    parser = HfArgumentParser(dataclasses, **options, **parser_arguments)
    parser.add_argument("-h", "--help", action=BriefHelp, nargs=0, default=SUPPRESS, help="the flags that matter most")
    parser.add_argument("--help_all", "--help-all", action="help", help="every flag")
    flags = {action.dest: action for action in parser._actions}  # argparse has no public list of flags
    for action in parser._actions:  # --max-steps is accepted, but help shows only --max_steps
        action.option_strings = [name for name in action.option_strings if "-" not in name[2:]]
    argv = sys.argv[1:] if argv is None else argv
    with wrong_usage():
        settings = read_settings(Path(argv[0])) if argv and is_settings_file(argv[0], dataclasses) else {}
    problems = [f"The settings file {argv[0]}: {_no_flag(name, flags)}" for name in settings if name not in flags]
    in_json = _fields_of_dicts(dataclasses)
    faults = {name: fault for name in settings.keys() & in_json if (fault := _json_fault(settings[name]))}
    problems += [f"--{name} {fault}" for name, fault in faults.items()]
    for name in settings.keys() & flags.keys():
        flags[name].required = False
    parser.set_defaults(**{name: value for name, value in settings.items() if name not in faults})
    values, parts = vars(parse_all(parser, argv[1:] if settings else argv, problems, in_json)), list[Any]()
    for kind in dataclasses:
        try:
            parts.append(kind(**{item.name: values[item.name] for item in fields(kind) if item.init}))
        except (ValueError, TypeError) as error:
            problems.append(str(error))
        else:
            problems += parts[-1].problems() if isinstance(parts[-1], CheckedArguments) else []
    refuse(problems)
    return tuple(parts)


class CheckedArguments:
    """Base class of arguments with checks beyond those of the values of their fields."""

    def problems(self) -> list[str]:
        """One sentence per problem; empty if there is none."""
        raise NotImplementedError


def refuse(problems: Iterable[str]) -> None:
    """Raises a `UsageError` with all problems, each of which is a sentence, if there are any."""
    if told := dict.fromkeys(problems):
        raise UsageError(" ".join(told))


def parse_all(
    parser: ArgumentParser, argv: list[str], problems: list[str], in_json: Collection[str] = ()
) -> Namespace:
    """
    Parses a command line without its unknown flags and those with invalid values, and appends a sentence about each of
    these to `problems`. The values of the flags `in_json` may be JSON objects. Raises a `UsageError` with all problems
    if a required argument is missing.
    """

    def end(message: str) -> NoReturn:
        raise UsageError(" ".join([*problems, f"{message}."]))

    FLAGS.set(frozenset(action.dest for action in parser._actions if action.option_strings))
    parser.exit_on_error, parser.error = False, end  # type: ignore[method-assign]  # the default prints the usage
    argv = list(argv)
    for word, following in zip(tuple(argv), [*argv[1:], ""]):
        name, is_joined, value = word.partition("=")
        is_in_json = name.removeprefix("--").replace("-", "_") in in_json
        if is_in_json and (fault := _json_fault(value if is_joined else following)):
            problems.append(f"{name} {fault}")
            _leave_out(argv, [name])
    while True:
        try:
            found, rest = parser.parse_known_args(argv)
            break
        except ArgumentError as error:
            options = (error.argument_name or "").split("/")
            problems.append(f"{options[0]}: {error.message}.")
            if not _leave_out(argv, options):
                refuse(problems)
    flags = [action.dest for action in parser._actions]
    unknown = [word.lstrip("-").partition("=")[0] for word in rest if word.startswith("-")]
    problems += [_no_flag(name.replace("-", "_"), flags) for name in unknown]
    if rest and not unknown:
        problems.append(f"{rest[0]} stands alone: put the name of a flag before it.")
    return found


def parse_strictly(parser: ArgumentParser, argv: list[str]) -> Namespace:
    """Parses a command line; raises a `UsageError` with all problems if there are any."""
    problems = list[str]()
    found = parse_all(parser, argv, problems)
    refuse(problems)
    return found


def _leave_out(argv: list[str], options: list[str]) -> bool:
    """Removes a flag and its values from a command line; returns whether it was found."""
    at = next((at for at, word in enumerate(argv) if word.partition("=")[0] in options), None)
    if at is not None:
        end = next((end for end in range(at + 1, len(argv)) if argv[end].startswith("--")), len(argv))
        del argv[at : at + 1 if "=" in argv[at] else end]
    return at is not None


def _no_flag(name: str, flags: Iterable[str]) -> str:
    if name in REMOVED_ARGUMENTS:
        return f"{name} was removed: {REMOVED_ARGUMENTS[name]}."
    return f"--{name} is no flag of this command. {did_you_mean(name, flags, '--')}See --help."


def _fields_of_dicts(dataclasses: Iterable[Any]) -> set[str]:
    """The fields that take a dict, which a command line writes as JSON."""
    kinds = chain.from_iterable(get_type_hints(kind).items() for kind in dataclasses)
    return {name for name, kind in kinds if dict in [get_origin(one) or one for one in get_args(kind) or [kind]]}


def _json_fault(value: Any) -> str:
    """What is wrong with a value that begins as a JSON object; empty if nothing is."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            json.loads(value)
        except ValueError as error:
            return f"{value} is no JSON ({error}): write it like '{{\"num_cycles\": 2}}'."
    return ""


def given_names(argv: list[str]) -> set[str]:
    """The names of the flags on a command line, and those in the settings file that it begins with."""
    flags = {name.removeprefix("--").split("=")[0].replace("-", "_") for name in argv if name.startswith("--")}
    has_settings = argv and not argv[0].startswith("-") and Path(argv[0]).suffix in SETTINGS_FILES
    settings = read_settings(Path(argv[0])) if has_settings else {}
    return flags | {name.removeprefix("no_") for name in flags} | settings.keys()


class _Loader(yaml.SafeLoader):
    """YAML in which 2e-5 is a number, as everywhere else; YAML 1.1 wants 2.0e-5."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def is_settings_file(name: str, dataclasses: Iterable[Any]) -> bool:
    """
    Whether a command line begins with the name of a file of settings, rather than of texts or a flag. A JSON object
    holds settings if it has a field of the `dataclasses`, and no list of rows.
    """
    path = Path(name)
    if name.startswith("-") or path.suffix not in SETTINGS_FILES:
        return False
    if path.suffix != ".json" or not path.is_file():
        return True
    text = path.read_text(encoding="utf-8", errors="replace")
    first = text.partition("\n")[0]
    try:
        content = json.loads(text)
    except ValueError:
        return not first.startswith("{") or bool(_json_fault(first))  # not JSON lines
    known = {item.name for kind in dataclasses for item in fields(kind)}
    return (
        isinstance(content, dict)
        and not known.isdisjoint(content)
        and not any(
            isinstance(value, list) and any(isinstance(row, dict) for row in value) for value in content.values()
        )
    )


def read_settings(path: Path) -> dict[str, Any]:
    """Names and values of a JSON or YAML file; raises a `ValueError` if it cannot be read or holds none."""
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"The settings file {path} cannot be read: {error}") from error
    if not isinstance(settings, dict) or not settings:
        raise ValueError(f"The settings file {path} must hold names and values, not {settings!r}.")
    return settings
