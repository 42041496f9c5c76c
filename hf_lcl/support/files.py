"""Atomic file writes: each file is written under a temporary name and then renamed. Errors name the file."""

import csv
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from safetensors import SafetensorError, safe_open


WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
GRAPH = "model.onnx"
ADAPTER = ADAPTER_CONFIG, ADAPTER_WEIGHTS = ("adapter_config.json", "adapter_model.safetensors")
CONFIGURATIONS = (ADAPTER_CONFIG, "config.json")  # without one of these nothing is loaded
NAME_LENGTH = 40  # characters of a name in that of its temporary file, which may have 255 bytes, 4 per character
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # with their full-width forms


@contextmanager
def open_whole(path: str | os.PathLike, mode: str = "w") -> Iterator[IO[Any]]:
    """
    Opens a file for writing, as UTF-8 text without newline translation (`"w"`) or as bytes (`"wb"`). It gets its name
    only when it is complete: a kill or an error leaves the old file as it was. A missing folder is created, a symbolic
    link is kept, and a special file (`/dev/stdout`, a pipe) is written to directly. The `OSError` of a full disk names
    the file.
    """
    place = Path(os.path.realpath(path))
    options: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with naming_disk_faults(path):
        if place.exists() and not place.is_file():
            with open(place, mode, **options) as file:
                yield file
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name[:NAME_LENGTH]}.{secrets.token_hex(6)}.part")
        try:
            with open(beside, mode.replace("w", "x"), **options) as file:
                yield file
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike, content: str) -> None:
    """Writes a text with [`open_whole`]."""
    with open_whole(path) as file:
        file.write(content)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes indented JSON with [`open_whole`]."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def check_has_model(folder: Path) -> None:
    """Raises a `ValueError` for a folder without the configuration of a model."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no model (config.json): name a folder that does.")


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file; raises a `ValueError` that names it if it is cut short or not JSON."""
    try:
        return json.loads(Path(path).read_bytes())
    except ValueError as error:  # also of bytes that are not UTF-8
        raise ValueError(f"{path} is cut or no JSON ({error}): delete it, or write it again.") from error


def csv_writer(file: IO[str], safe: bool = False) -> Callable[[Iterable[Any]], Any]:
    r"""
    A function that writes one row to a CSV file that was opened without newline translation. Lines end in `\n`; a cell
    with a line break of any kind is quoted. With `safe`, texts that a spreadsheet would evaluate (`=1+1`, `@SUM(A1)`)
    get a leading apostrophe, because quotes do not prevent that.
    """

    class Lines:
        # csv quotes a lone carriage return only if its line terminator contains one.
        @staticmethod
        def write(line: str) -> None:
            file.write(line.removesuffix("\r\n") + "\n")

    writer = csv.writer(Lines, lineterminator="\r\n")

    def as_cell(value: Any) -> Any:
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False, default=str)
        return f"'{value}" if safe and isinstance(value, str) and value.startswith(FORMULA_STARTS) else value

    return lambda row: writer.writerow(map(as_cell, row))


def write_csv(path: str | os.PathLike, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a table with [`csv_writer`] and [`open_whole`]."""
    with open_whole(path) as file:
        write = csv_writer(file)
        for row in chain([header], rows):
            write(row)


def refuse_overwriting(output: str | os.PathLike | None, inputs: Iterable[str | os.PathLike | None]) -> None:
    """Raises a `ValueError` if `output` is a folder, or an input file, even under another path or through a link."""
    if output is not None and os.path.isdir(output):
        raise ValueError(f"The output {output} is a folder: name a file in it.")
    for source in inputs:
        both = [path for path in (output, source) if path is not None and os.path.exists(path)]
        if len(both) == 2 and os.path.samefile(*both):
            raise ValueError(f"{output} is the file that is read ({source}): writing would destroy it. Name another.")


def file_kind(path: Path) -> str:
    """The extension of a file in lower case, without `.gz`: `csv`, `jsonl`, `txt`, ..."""
    return Path(path.name.lower().removesuffix(".gz")).suffix.removeprefix(".")


def check_output(output: Path, inputs: Iterable[str | os.PathLike | None], *kinds: str) -> str:
    """The extension of an output file. Raises a `ValueError` if it is not in `kinds` (".csv"), or for an input."""
    kind, allowed = output.suffix.lower(), kinds or (".csv",)
    refuse_overwriting(output, inputs)
    if kind not in allowed:
        raise ValueError(f"The output {output} has an unknown extension: use {' or '.join(allowed)}.")
    return kind


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an ONNX graph and no PyTorch weights."""
    return (folder / GRAPH).is_file() and not any(folder.glob("*.safetensors"))


def check_weights(folder: str | os.PathLike) -> None:
    """Raises a `ValueError` that names the first `*.safetensors` file of a folder that is cut short or broken."""
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):  # checks its size against its header
                pass
        except SafetensorError as error:
            raise ValueError(
                f"{path} is cut short or broken ({error}, {path.stat().st_size:,} bytes): copy, download or train it "
                "again."
            ) from error


@contextmanager
def naming_disk_faults(path: str | os.PathLike) -> Iterator[None]:
    """Converts the errors of Python, safetensors and torch on a full disk into an `OSError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        is_torch = "inline_container" in str(error) or "PytorchStreamWriter" in str(error)
        if not (number or is_torch):
            raise
        code = int(number[1]) if number else errno.ENOSPC  # torch gives no error number
        raise OSError(code, os.strerror(code), str(path)) from error


@contextmanager
def staged(folder: str | os.PathLike) -> Iterator[Path]:
    """
    A temporary folder whose files are moved to `folder` once all of them are written. New weights replace all old
    ones, including shards and those of an adapter. The old configuration is deleted first and the new one moved last,
    so that a kill in between leaves a folder that cannot be loaded, not new weights with old class names. Temporary
    folders of killed processes are removed. On a full disk, an `OSError` names `folder`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".saving-*"):
        with suppress(ValueError), locked(left):
            shutil.rmtree(left, ignore_errors=True)
    with naming_disk_faults(folder), TemporaryDirectory(prefix=".saving-", dir=folder) as scratch, locked(scratch):
        yield Path(scratch)
        share_weights(scratch)
        new = sorted(Path(scratch).iterdir(), key=lambda path: (path.name in CONFIGURATIONS, path.name))
        names = {path.name for path in new}
        for name in CONFIGURATIONS if names.intersection(CONFIGURATIONS) else ():
            (folder / name).unlink(missing_ok=True)
        for path in new:
            place = folder / path.name
            if place.is_dir():  # such as additional chat templates: only an empty folder can be replaced
                place.rename(Path(scratch) / f".old-{path.name}")
            os.replace(path, place)
        weights = {
            path.name for path in folder.iterdir() if path.name == ADAPTER_WEIGHTS or WEIGHTS.fullmatch(path.name)
        }
        if weights & names:
            for name in weights - names:
                (folder / name).unlink()


def share_weights(folder: str | os.PathLike) -> None:
    """Gives the weights in a folder the permissions of other new files: safetensors lets only the owner read them."""
    os.umask(umask := os.umask(0o077))
    for path in Path(folder).glob("*.safetensors"):
        path.chmod(0o666 & ~umask)


@contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Locks a folder until the block or the process ends; raises a `ValueError` if another process holds the lock."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"Another process writes into {folder}: wait for its end, or name another folder."
            ) from error
        except OSError as error:  # a file system without locks
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                raise
        yield
    finally:
        os.close(descriptor)
