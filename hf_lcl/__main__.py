"""`python -m hf_lcl COMMAND ...`, also installed as `hf-lcl`."""

import sys
from importlib import import_module


# Imported when asked for: some take seconds.
COMMANDS = {
    "report": ("hf_lcl.evaluation.report", "pictures and figures of a finished classifier, as one page"),
    "push": ("hf_lcl.hub.command", "publish a finished classifier on the Hub"),
}
USAGE = "\n".join(
    [
        "usage: python -m hf_lcl COMMAND ...    (COMMAND --help tells more)",
        "",
        *(f"  {name:<10}{purpose}" for name, (_, purpose) in COMMANDS.items()),
        "",
        "To train: examples/run_classification.py; to search settings: examples/run_search.py.",
    ]
)


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
    if argv[0] not in COMMANDS:
        sys.exit(f"error: {argv[0]!r} is no command: use one of {', '.join(COMMANDS)}.")
    module, _ = COMMANDS[argv[0]]
    sys.argv[0] = f"hf_lcl {argv[0]}"  # what --help calls it
    import_module(module).main(argv[1:])


if __name__ == "__main__":
    main()
