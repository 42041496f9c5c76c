"""A log of finished runs, one line each, so that a study can be stopped at any time and resumed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Ledger:
    """
    A JSON-lines file of finished runs, created by the first run. A run is identified by its settings, in any order.

    Several processes may write to one file. A line that a killed process left incomplete is skipped, and the next run
    starts on a new line. A line that is not a run raises a `ValueError`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._done = {_key(run["settings"]): run for run in self.runs()}

    def runs(self) -> list[dict[str, Any]]:
        """All finished runs, in the order in which they ended."""
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        runs = []
        for number, line in enumerate(lines, start=1):
            try:
                run = json.loads(line)
            except ValueError:  # empty, or cut short, perhaps inside a character
                continue
            if not isinstance(run, dict) or "settings" not in run:
                raise ValueError(f"{self.path}, line {number} is no finished run: name another file.")
            runs.append(run)
        return runs

    def __contains__(self, settings: Mapping[str, Any]) -> bool:
        return _key(settings) in self._done

    def __getitem__(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return self._done[_key(settings)]

    def add(self, settings: Mapping[str, Any], results: Mapping[str, Any]) -> None:
        """Writes a finished run: the `settings` that identify it, and its `results`."""
        run = {"settings": settings, **results}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            is_cut = file.read(1) not in (b"", b"\n")
            # In one call, so that lines of several processes do not mix.
            file.write(("\n" * is_cut + json.dumps(run, ensure_ascii=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self._done[_key(settings)] = run


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
