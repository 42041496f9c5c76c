"""Writes api.md from the signatures and docstrings of all that the packages export."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any


PAGE = Path(__file__).with_name("api.md")
PACKAGES = {
    "hf_lcl": "Model, training, losses, data: what most programs need",
    "hf_lcl.data": "Data",
    "hf_lcl.losses": "Losses",
    "hf_lcl.start": "The start",
    "hf_lcl.evaluation": "Evaluation",
    "hf_lcl.evaluation.report": "The report",
    "hf_lcl.hub": "Cards and the Hub",
}
INTRODUCTION = """\
# API reference

Everything that `hf_lcl` and its packages export, from the docstrings. `python examples/docs/write_api.py` writes this
page anew, and a test compares it with the code.
"""
SECTIONS = ("Args", "Returns", "Raises")


def exported() -> dict[str, dict[str, Any]]:
    """Maps each package to its exported objects by name; an object is listed in the first package that exports it."""
    seen: set[int] = set()
    found: dict[str, dict[str, Any]] = {}
    for package in PACKAGES:
        module = import_module(package)
        things = {name: getattr(module, name) for name in sorted(module.__all__) if not name.startswith("__")}
        found[package] = {name: thing for name, thing in things.items() if id(thing) not in seen}
        seen |= {id(thing) for thing in found[package].values()}
    return found


def page() -> str:
    """The text of api.md."""
    things = exported()
    linked = {name: name.lower() for named in things.values() for name in named}
    parts = [INTRODUCTION]
    for package, title in PACKAGES.items():
        parts.append(
            f"## {title}\n\n`from {package} import ...`: " + ", ".join(f"[`{n}`]" for n in things[package]) + "\n"
        )
        for name, thing in things[package].items():
            parts += [f"### {name}\n", entry(name, thing)]
            parts += [entry(f"{name}.{method}", own) for method, own in methods(thing)]
    return re.sub(
        r"\[`~?([\w.]+)`\](?!\()",
        lambda match: f"[`{match[1]}`](#{linked[match[1]]})" if match[1] in linked else f"`{match[1]}`",
        "\n".join(parts),
    )


def methods(thing: Any) -> Iterator[tuple[str, Any]]:
    """The public methods that a class or its bases in this library define, with their names."""
    bases = inspect.getmro(thing) if inspect.isclass(thing) else ()
    owns = [vars(base) for base in bases if base.__module__.startswith("hf_lcl")]
    for name in dict.fromkeys(name for own in owns for name in own):
        own: Any = next(own[name] for own in owns if name in own)
        own = getattr(own, "__func__", own)
        if inspect.isfunction(own) and not name.startswith("_") and own.__doc__:
            yield name, own


def entry(name: str, thing: Any) -> str:
    """The signature and the docstring of an object, as markdown."""
    try:
        signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(thing)))
        signature = re.sub(r"\b([a-z_]\w*\.)+(?=[A-Za-z])", "", signature)  # drops module names
        signature = re.sub(r"<function (\S+) at 0x\w+>", r"\1", signature)
    except ValueError:
        signature = ""
    if len(signature) > 600:  # all fields of transformers' TrainingArguments
        signature = "(...)"
    return f"```py\n{name}{signature}\n```\n\n{markdown(inspect.getdoc(thing) or '')}\n"


def markdown(docstring: str) -> str:
    """Converts a Hugging Face docstring to markdown: a list of the arguments, and code blocks that no test runs."""
    lines, section = [], ""
    for line in docstring.replace("```python\n", "```py\n").splitlines():
        if match := re.fullmatch(rf"({'|'.join(SECTIONS)}|Example):", line):
            section = match[1]
            lines += [f"**{section}**", ""] if section in SECTIONS else [f"**{section}**"]
        elif section in SECTIONS and line.startswith("    > "):
            lines += [f"*{line[6:]}*", ""]
        elif section in SECTIONS and re.match(r"    \S", line):
            lines.append(f"- {line.strip()}")
        elif section in SECTIONS and line.startswith("        "):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
