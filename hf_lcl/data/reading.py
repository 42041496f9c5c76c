"""Files on disk to one `DatasetDict`."""

import gzip
import json
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset
from datasets.exceptions import DatasetGenerationError


# File ending to the name of the loader in `datasets`; each but parquet may be followed by .gz.
LOADERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
# pandas would read the words NA, None and null as missing values.
OPTIONS = {"csv": {"keep_default_na": False}, "json": {}, "parquet": {}}


def load_splits(files: dict[str, str | Path], **kwargs: Any) -> DatasetDict:
    """
    Reads one file per split. `datasets` keeps the result in its cache, so that a second call only maps it.

    Args:
        files (`dict[str, str]`): split name ("train", "validation", "test") to a csv, json, jsonl or parquet file;
            all but parquet may be gzipped.
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
    # All files are looked at before the first is read.
    loaders = {split: _loader(split, Path(path)) for split, path in files.items()}
    return DatasetDict(
        {split: _load_file(split, Path(path), loaders[split], **kwargs) for split, path in files.items()}
    )


def _loader(split: str, path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"The {split} file {path} does not exist.")
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in LOADERS or (suffix == ".parquet" and path.suffix == ".gz"):
        raise ValueError(
            f"The {split} file {path} has an unknown extension: use one of {', '.join(LOADERS)} (.gz may follow all "
            "but parquet)."
        )
    return LOADERS[suffix]


def _load_file(split: str, path: Path, loader: str, **kwargs: Any) -> Dataset:
    if path.stat().st_size == 0 or (loader != "parquet" and not _has_text(split, path)):
        raise ValueError(f"The {split} file {path} is empty: it has no rows.")
    try:
        return load_dataset(loader, data_files=str(path), split="train", **OPTIONS[loader], **kwargs)
    except (DatasetGenerationError, ValueError, OSError) as error:
        if loader == "json":
            _check_json(split, path)
        if "corresponds to no data" in str(error):
            raise ValueError(f"The {split} file {path} has no rows.") from error
        raise ValueError(f"The {split} file {path} cannot be read as {loader}: {error.__cause__ or error}") from error


def _open(path: Path) -> Any:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8")


def _has_text(split: str, path: Path) -> bool:
    """Whether a text file has more than blanks; all of it is decoded, since `datasets` lets broken bytes pass."""
    try:
        with _open(path) as file:
            return sum(bool(line.strip()) for line in file) > 0
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"The {split} file {path} cannot be read as UTF-8 text: {error}.") from error


def _check_json(split: str, path: Path) -> None:
    """Finds the line that `datasets` stumbled over, in a file of one object per line or of one list."""
    with _open(path) as file:
        text = file.read()
    lines = list(enumerate(text.splitlines(), start=1))
    one_list = text.lstrip().startswith("[") and not lines[0][1].rstrip().endswith("]")
    for number, block in [(1, text)] if one_list else lines:
        if not block.strip():
            continue
        try:
            rows = json.loads(block)
        except json.JSONDecodeError as error:
            line = number + error.lineno - 1
            raise ValueError(f"The {split} file {path}, line {line} is not valid JSON: {error.msg}.") from error
        if not all(isinstance(row, dict) for row in (rows if isinstance(rows, list) else [rows])):
            raise ValueError(
                f'The {split} file {path}, line {number} is not an object such as {{"text": ..., "label": ...}}.'
            )
