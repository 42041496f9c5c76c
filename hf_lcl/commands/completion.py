"""`python -m hf_lcl completion`: shell completion of commands, flags and files."""

import io
import re
from contextlib import redirect_stdout, suppress
from importlib import import_module

from . import COMMANDS
from .parsing import command_parser, parse_strictly


DESCRIPTION = """\
Prints a script with which bash or zsh completes the commands, their flags, and files.

  python -m hf_lcl completion bash > ~/.local/share/bash-completion/completions/hf-lcl
  python -m hf_lcl completion zsh >> ~/.zshrc"""
SCRIPT = """\
_hf_lcl() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words="{commands}"
    COMPREPLY=()
    if [ "$COMP_CWORD" -gt 1 ]; then
        case "${{COMP_WORDS[1]}}" in
{cases}
            *) words="" ;;
        esac
        case "$current" in -*) ;; *) COMPREPLY=($(compgen -f -- "$current")); return ;; esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o filenames -F _hf_lcl hf-lcl
"""
FOR_ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"


def main(argv: list[str]) -> None:
    parser = command_parser("completion", DESCRIPTION)
    parser.add_argument("shell", choices=["bash", "zsh"], help="the shell")
    shell = parse_strictly(parser, argv).shell
    flags = {name: flags_of(name) for name in COMMANDS if name != "completion"}
    cases = "\n".join(f'            {name}) words="{" ".join(known)}" ;;' for name, known in flags.items())
    print(FOR_ZSH * (shell == "zsh") + SCRIPT.format(commands=" ".join(COMMANDS), cases=cases), end="")


def flags_of(command: str) -> list[str]:
    """All flags of a command, read from its help."""
    page = io.StringIO()
    main = import_module(f".{command}", __package__).main
    for option in ("--help_all", "--help"):
        with redirect_stdout(page), suppress(SystemExit, ValueError):
            main([option])
    return sorted(set(re.findall(r"^ +(?:-\w, )?(--\w+)", page.getvalue(), re.M)))
