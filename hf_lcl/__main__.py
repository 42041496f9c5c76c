"""`python -m hf_lcl COMMAND ...`, also installed as `hf-lcl`."""

import sys
from importlib import import_module

from .commands import COMMANDS
from .commands.exits import one_line_errors
from .support.likely import did_you_mean
from .support.version import __version__


LIST = "\n".join(f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items())
USAGE = f"""usage: python -m hf_lcl COMMAND ...    (COMMAND --help tells more)

{LIST}

Begin with: python -m hf_lcl train --help"""


def main(argv: list[str] | None = None) -> None:
    """
    Runs one of the commands.

    Args:
        argv (`list[str]`, *optional*): the command and its flags; defaults to those of this process.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return
    if argv[0] == "--version":
        print(f"hf_lcl {__version__}")
        return
    if argv[0] not in COMMANDS:
        guess = did_you_mean(argv[0], COMMANDS)
        print(f"error: {argv[0]!r} is no command. {guess}Use one of {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)
    with one_line_errors():
        import_module(f".commands.{argv[0]}", __package__).main(argv[1:])


if __name__ == "__main__":
    main()
