"""`python -m hf_lcl COMMAND ...`, also installed as `hf-lcl`."""

import sys
from importlib import import_module

from .commands import COMMANDS
from .commands.exits import UsageError, one_line_errors
from .support.likely import did_you_mean
from .support.version import __version__


LIST = "\n".join(f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items())
USAGE = f"""usage: python -m hf_lcl COMMAND ...    (COMMAND --help for details)

{LIST}

Begin with: python -m hf_lcl train --help"""


def main(argv: list[str] | None = None) -> None:
    """Runs the command that is the first of `argv`, which defaults to the command line of this process."""
    command, *flags = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE)
        return
    if command == "--version":
        print(f"hf_lcl {__version__}")
        return
    with one_line_errors():
        if command not in COMMANDS:
            guess = did_you_mean(command, COMMANDS)
            raise UsageError(f"{command!r} is no command. {guess}Use one of {', '.join(COMMANDS)}.")
        import_module(f".commands.{command}", __package__).main(flags)


if __name__ == "__main__":
    main()
