"""Finished runs, one line each, so that a study can be stopped anywhere and goes on where it was."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset


class Ledger:
    r"""
    A JSON-lines file of finished runs. A run is known by its settings.

    Several processes may write to one file. A line that was cut, because its process was killed while writing, is no
    finished run: it is passed over, and the next one starts on a line of its own.

    Args:
        path (`str` or `os.PathLike`): the file; made with the first run.

    Raises:
        ValueError: if a line other than the last is no JSON object with `settings`.

    Example:

    ```python
    >>> import tempfile
    >>> from hf_lcl.evaluation.ledger import Ledger

    >>> ledger = Ledger(tempfile.mkdtemp() + "/runs.jsonl")
    >>> ledger.add({"system": "ce", "seed": 0}, {"accuracy": 0.8})
    >>> {"seed": 0, "system": "ce"} in ledger
    True
    ```
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
                run = json.loads(line or "null")
            except ValueError:
                continue  # cut, perhaps inside a character
            if run is None:
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
        """
        Writes a finished run.

        Args:
            settings (`Mapping[str, Any]`): what makes it this run and no other.
            results (`Mapping[str, Any]`): all else that is worth keeping.
        """
        run = {"settings": settings, **results}
        line = json.dumps(run, ensure_ascii=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            is_cut = file.read(1) not in (b"", b"\n")
            # In one call, so that lines of several processes do not mix.
            file.write(("\n" * is_cut + line + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self._done[_key(settings)] = run


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)


def fingerprint(dataset: Dataset, columns: tuple[str, ...] = ("text", "label")) -> str:
    """
    Tells data sets apart by what stands in them, wherever they came from.

    Args:
        dataset (`Dataset`): the rows.
        columns (`tuple[str, ...]`, *optional*, defaults to `("text", "label")`): whose values count.

    Returns:
        `str`: 16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for batch in dataset.select_columns(list(columns)).iter(1000):
        for row in zip(*(batch[name] for name in columns)):
            digest.update((json.dumps(row, ensure_ascii=False) + "\n").encode())
    return digest.hexdigest()[:16]
