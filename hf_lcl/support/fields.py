"""Fields of dataclasses that the command line explains."""

from dataclasses import field
from typing import Any


def option(default: Any, help: str) -> Any:
    """A field with its default, and what `--help` says of it."""
    return field(default=default, metadata={"help": help})
