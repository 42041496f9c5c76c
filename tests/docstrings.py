"""Finds and runs the examples of docstrings."""

import doctest
import re
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import hf_lcl


class FencedParser(doctest.DocTestParser):
    """Does not take the fence below an example for a part of its output."""

    def parse(self, string: str, name: str = "<string>") -> list:
        return super().parse(re.sub(r"(?m)^ *```.*$", "", string), name)


class Checker(doctest.OutputChecker):
    """Compares the output of lines that show one; others, such as a training, may print."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def examples() -> dict[str, doctest.DocTest]:
    """All docstrings of the package that have an example, by their full names."""
    finder = doctest.DocTestFinder(parser=FencedParser())
    modules = [info.name for info in walk_packages(hf_lcl.__path__, "hf_lcl.") if not info.name.endswith("__main__")]
    found = [test for name in modules for test in finder.find(import_module(name), name)]
    return {test.name: test for test in found if test.examples}


def run(example: doctest.DocTest, objects: dict[str, Any]) -> None:
    """Fails if the example, with these objects, raises an error or does not print what it shows."""
    said: list[str] = []
    example.globs.update(objects)
    found = doctest.DocTestRunner(Checker(), verbose=False).run(example, out=said.append)
    assert not found.failed, "".join(said)
