"""The path of the script, and its command line."""

from pathlib import Path


SCRIPT = Path(__file__).parents[2] / "examples" / "run_classification.py"


def command_line(flags: dict[str, str]) -> list[str]:
    """Flags as a command line."""
    return [f"--{name}={value}" for name, value in flags.items()]
