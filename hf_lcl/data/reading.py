"""Files on disk, or a data set on the Hub, to one `DatasetDict`."""

import gzip
import json
from pathlib import Path
from typing import Any

from datasets import DatasetDict, load_dataset
from datasets.exceptions import DatasetGenerationError


# File ending to the name of the loader in `datasets`; each may be followed by .gz, but for parquet.
LOADERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def load_splits(files: dict[str, str | Path], **kwargs: Any) -> DatasetDict:
    """
    Reads one file per split. `datasets` keeps the result in its cache, so that a second call only maps it.

    Args:
        files (`dict[str, str]`): split name ("train", "validation", "test") to a csv, json, jsonl or parquet file,
            gzipped or not; all of one kind.
        **kwargs: passed on to `datasets.load_dataset` (`cache_dir`, ...).

    Returns:
        `datasets.DatasetDict`: one data set per split.

    Raises:
        ValueError: for a file that is missing, empty, of an unknown kind or broken; says which, and which line.

    Example:

    ```python
    >>> from hf_lcl import load_splits

    >>> splits = load_splits({"train": "examples/data/feelings_train.jsonl"})
    >>> splits["train"].column_names
    ['text', 'label']
    ```
    """
    kinds = {split: _kind(split, Path(path)) for split, path in files.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(
            "All splits must be files of one kind, got "
            + ", ".join(f"{split}: {files[split]} ({kind})" for split, kind in kinds.items())
            + "."
        )
    loader = next(iter(kinds.values()))
    data_files = {split: str(path) for split, path in files.items()}
    try:
        splits = load_dataset(loader, data_files=data_files, **kwargs)
    except (DatasetGenerationError, ValueError) as error:
        if loader == "json":
            for path in files.values():
                _check_json_lines(Path(path))
        cause = error.__cause__ or error
        raise ValueError(f"{_named(files)} cannot be read as {loader}: {cause}") from error
    for split, dataset in splits.items():
        if len(dataset) == 0:
            raise ValueError(f"The {split} file {files[split]} has no rows.")
    return splits


def _kind(split: str, path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"The {split} file {path} does not exist.")
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in LOADERS:
        raise ValueError(
            f"The {split} file {path} has an unknown extension: use one of {', '.join(LOADERS)} (.gz may follow)."
        )
    if path.stat().st_size == 0:
        raise ValueError(f"The {split} file {path} is empty.")
    return LOADERS[suffix]


def _check_json_lines(path: Path) -> None:
    """Finds the line of a JSON-lines file that `datasets` stumbled over."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}, line {number} is not valid JSON: {error.msg}.") from error
                if not isinstance(row, dict):
                    raise ValueError(f'{path}, line {number} is not an object such as {{"text": ..., "label": ...}}.')
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text: {error}.") from error


def _named(files: dict[str, str | Path]) -> str:
    return ", ".join(str(path) for path in files.values())
