"""
One-line faults in the code, each of which a test must notice:

    python tests/mutants.py [WORD ...]

Each mutant of `mutants.json` is applied to a copy of the project, in which its tests are run. Mutants that no test
notices are printed, and the exit code is 1; it is also 1 if tests fail without a mutant. WORDs select the mutants
whose file or test contains one of them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("mutants.json")
COPIED = ("hf_lcl", "tests", "examples", "setup.cfg", "README.md")


@dataclass(frozen=True)
class Mutant:
    """
    A fault.

    Args:
        file (`str`): path of the file below `hf_lcl`.
        line (`str`): the original line, which must occur exactly once in the file.
        fault (`str`): the line that replaces it.
        tests (`str`): the tests that must fail then, as arguments of pytest.
    """

    file: str
    line: str
    fault: str
    tests: str

    def put_into(self, project: Path) -> None:
        """Writes the fault into a copy of the project."""
        path = project / "hf_lcl" / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.line) != 1:
            raise ValueError(f"{self.line!r} stands {text.count(self.line)} times in hf_lcl/{self.file}, not once.")
        path.write_text(text.replace(self.line, self.fault), encoding="utf-8")


def mutants(words: list[str]) -> list[Mutant]:
    """The mutants whose file or test contains one of the words; all mutants without words."""
    known = [Mutant(**entry) for entry in json.loads(LIST.read_text(encoding="utf-8"))]
    return [mutant for mutant in known if not words or any(word in mutant.file + mutant.tests for word in words)]


def fails(tests: str, mutant: Mutant | None = None) -> str:
    """The output of pytest if the tests fail, with a fault or without one; empty if they pass."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        if mutant is not None:
            mutant.put_into(Path(folder))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "slow or not slow"]
        environment = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        ran = subprocess.run([*command, *tests.split()], cwd=folder, env=environment, capture_output=True, text=True)
    if ran.returncode not in (0, 1):  # no test was found or collected
        raise ValueError(f"{mutant}: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    return ran.stdout if ran.returncode else ""


def main(words: list[str]) -> None:
    chosen = mutants(words)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        without = pool.submit(fails, " ".join(dict.fromkeys(mutant.tests for mutant in chosen)))
        noticed = list(pool.map(lambda mutant: bool(fails(mutant.tests, mutant)), chosen))
    for mutant, is_noticed in zip(chosen, noticed):
        if not is_noticed:
            print(f"alive: hf_lcl/{mutant.file}: {mutant.line!r} -> {mutant.fault!r} ({mutant.tests})")
    print(f"{sum(noticed)} of {len(chosen)} mutants were noticed.")
    if without.result():
        print(f"The tests fail without a mutant:\n{without.result()[-2000:]}")
    sys.exit(1 if without.result() or not all(noticed) else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
