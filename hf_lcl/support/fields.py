"""Dataclass fields with help texts for the command line."""

from dataclasses import field
from typing import Any


def option(default: Any, help: str) -> Any:
    """A field with its default and its text for `--help`."""
    return field(default=default, metadata={"help": help})
