"""What every command needs: flags or one file of settings, and errors in one line."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser


def parse_arguments(dataclasses: Sequence[type], argv: list[str] | None = None) -> tuple[Any, ...]:
    """
    Fills dataclasses from the command line, or from the one JSON or YAML file that it names.

    Args:
        dataclasses (`Sequence[type]`): every field of each is a flag.
        argv (`list[str]`, *optional*): the command line; defaults to that of this process.

    Returns:
        `tuple`: one instance per dataclass.

    Raises:
        ValueError: for a value that a dataclass refuses, or a file that is missing or has keys that nobody knows.
    """
    parser = HfArgumentParser(dataclasses)
    argv = sys.argv[1:] if argv is None else argv
    suffix = Path(argv[0]).suffix if len(argv) == 1 else None
    if suffix not in (".json", ".yaml", ".yml"):
        return parser.parse_args_into_dataclasses(argv)
    return parser.parse_dict(_read_settings(Path(argv[0])))


class _Loader(yaml.SafeLoader):
    """YAML in which 2e-5 is a number, as everywhere else; YAML 1.1 wants 2.0e-5."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"The settings file {path} does not exist.")
    text = path.read_text(encoding="utf-8")
    try:
        settings = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"The settings file {path} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"The settings file {path} must hold names and values, not {settings!r}.")
    return settings


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the process with one line and exit status 1 where the input, not the program, is at fault."""
    try:
        yield
    except (ValueError, TypeError, OSError, FloatingPointError, ImportError) as error:
        message = " ".join(str(error).split())
        sys.exit(f"error: {message or type(error).__name__}")


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """
    Rows of equal keys as an aligned table; floats with three decimals.

    Args:
        rows (`Sequence[dict[str, Any]]`): at least one.

    Example:

    ```python
    >>> from hf_lcl.cli import format_table

    >>> print(format_table([{"label": "sad", "f1": 0.5}, {"label": "lonely", "f1": 1.0}]))
    label      f1
    sad     0.500
    lonely  1.000
    ```
    """
    cells = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    numeric = [isinstance(value, (int, float)) for value in rows[0].values()]
    lines = [list(rows[0]), *cells]
    widths = [max(map(len, column)) for column in zip(*lines)]
    aligned = [
        [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, numeric)]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in aligned)
