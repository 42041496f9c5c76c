"""
One-line faults in the code, each of which a test must notice:

    python tests/mutants.py [WORD ...]

Each mutant of `mutants.json` is put into a copy of the project, and the tests named with it are run there. A mutant
that no test notices is printed, and the exit code is 1. Words choose the mutants whose file or test holds one of them.
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
        file (`str`): where, below `hf_lcl`.
        line (`str`): what stands there; exactly once in the file.
        fault (`str`): what stands there instead.
        tests (`str`): what must fail then, as arguments of pytest.
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
    """Those of the list that hold one of the words in the name of their file or test; all without words."""
    known = [Mutant(**entry) for entry in json.loads(LIST.read_text(encoding="utf-8"))]
    return [mutant for mutant in known if not words or any(word in mutant.file + mutant.tests for word in words)]


def survives(mutant: Mutant) -> bool:
    """Whether its tests pass in spite of the fault."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        mutant.put_into(Path(folder))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "slow or not slow"]
        environment = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            [*command, *mutant.tests.split()], cwd=folder, env=environment, capture_output=True, text=True
        )
    if ran.returncode not in (0, 1):  # no test was found, or none could be read
        raise ValueError(f"hf_lcl/{mutant.file}, {mutant.fault!r}: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    return ran.returncode == 0


def main(words: list[str]) -> None:
    chosen = mutants(words)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        alive = [mutant for mutant, lives in zip(chosen, pool.map(survives, chosen)) if lives]
    for mutant in alive:
        print(f"alive: hf_lcl/{mutant.file}: {mutant.line!r} -> {mutant.fault!r} ({mutant.tests})")
    print(f"{len(chosen) - len(alive)} of {len(chosen)} mutants were noticed.")
    sys.exit(1 if alive else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
