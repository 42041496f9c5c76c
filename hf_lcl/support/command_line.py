"""The commands that a message tells to run next."""

import shlex
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """A command of `hf-lcl`, quoted so that a shell reads these words."""
    return shlex.join(["hf-lcl", *map(str, words)])
