"""The imports of the package agree with setup.cfg, and subpackages import only from those below them."""

import ast
import configparser
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path


ROOT = Path(__file__).parent.parent


def declared() -> tuple[set[str], set[str]]:
    """Normalised names of the distributions in setup.cfg: the required ones, and those of extras."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")

    def names(lines: str) -> set[str]:
        return {re.split(r"[<>=\[ ]", line)[0].lower().replace("_", "-") for line in lines.split("\n") if line}

    extras = set().union(*(names(lines) for lines in settings["options.extras_require"].values()))
    return names(settings["options"]["install_requires"]), extras


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports absolutely."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"hf_lcl"}


def test_every_imported_package_is_declared():
    core, extras = declared()
    distributions = packages_distributions()
    modules = set().union(*(imported(path) for path in (ROOT / "hf_lcl").rglob("*.py")))
    needed = {
        module: {name.lower().replace("_", "-") for name in distributions.get(module, [module])} for module in modules
    }
    assert {module for module, names in needed.items() if not names & (core | extras)} == set()
    always = {"torch", "transformers", "numpy", "sklearn", "datasets"}
    assert {module for module in always if not needed[module] & core} == set()


def test_each_room_imports_only_from_those_below_it():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    ran = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
