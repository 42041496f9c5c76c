"""`python -m hf_lcl COMMAND ...`, also installed as `hf-lcl`."""

import sys
from importlib import import_module

from .commands.exits import one_line_errors
from .support.likely import did_you_mean
from .support.version import __version__


# Imported when asked for: some take seconds.
COMMANDS = {
    "train": "fine-tune a classifier, with or without a contrastive loss",
    "evaluate": "what a finished classifier is worth on labelled texts",
    "predict": "a class and its probability for every text of a file",
    "audit": "labels of a file that look wrong, equal texts and outliers, the surest first",
    "apply": "a new file from a labelled one and what people decided of its rows",
    "next": "which texts of a pool to label next",
    "report": "pictures and figures of a finished classifier, as one page",
    "calibrate": "a class out_of_scope for a finished classifier, and calibrated probabilities",
    "compare": "cross-entropy, SCL and LCL with the same budget and several seeds: a table and a paired test",
    "search": "the settings that are best on validation texts",
    "demo": "a local page to try a finished classifier, and to correct it",
    "export": "a finished classifier as an ONNX graph, checked against PyTorch",
    "push": "publish a finished classifier on the Hub",
    "completion": "a script by which a shell completes commands, flags and files",
}
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
