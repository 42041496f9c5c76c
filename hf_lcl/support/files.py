"""Files that are whole or as they were: written beside their place and renamed, and named in every error."""

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
CONFIGURATIONS = ("adapter_config.json", "config.json")  # without which nothing is loaded
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # wide forms included


@contextmanager
def open_whole(path: str | os.PathLike, mode: str = "w") -> Iterator[IO[Any]]:
    """
    Opens a file, for UTF-8 text without translation of line ends (`"w"`) or for bytes (`"wb"`), that gets its name
    once it is complete: a kill or an error leaves what stood there before. Its folder is made where there is none, a
    link stays a link, and what is no ordinary file (`/dev/stdout`, a pipe) is written to directly. The `OSError` of a
    full disk names the file.
    """
    place = Path(os.path.realpath(path))
    options: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with naming_disk_faults(path):
        if place.exists() and not place.is_file():
            with open(place, mode, **options) as file:
                yield file
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name[:200]}.{secrets.token_hex(6)}.part")
        try:
            with open(beside, mode.replace("w", "x"), **options) as file:
                yield file
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike, content: str) -> None:
    """Writes a text by [`open_whole`]."""
    with open_whole(path) as file:
        file.write(content)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes indented JSON by [`open_whole`]."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file; raises a `ValueError` that names it where it is cut or no JSON."""
    try:
        return json.loads(Path(path).read_bytes())
    except ValueError as error:  # of the text or of its encoding
        raise ValueError(f"{path} is cut or no JSON ({error}): delete it, or write it again.") from error


def csv_writer(file: IO[str], safe: bool = False) -> Callable[[Iterable[Any]], Any]:
    r"""
    A function that writes one row of a CSV file, which is opened without translation of line ends. Lines end in `\n`;
    a cell with a line end of any kind is quoted. With `safe`, texts that a spreadsheet would compute (`=1+1`,
    `@SUM(A1)`) get an apostrophe in front, which quoting cannot replace.
    """

    class Lines:
        # csv quotes a lone carriage return only where its own lines end in one.
        @staticmethod
        def write(line: str) -> None:
            file.write(line.removesuffix("\r\n") + "\n")

    writer = csv.writer(Lines, lineterminator="\r\n")

    def as_cell(value: Any) -> Any:
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False)
        return f"'{value}" if safe and isinstance(value, str) and value.startswith(FORMULA_STARTS) else value

    return lambda row: writer.writerow(map(as_cell, row))


def write_csv(path: str | os.PathLike, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a table by [`csv_writer`] and [`open_whole`]."""
    with open_whole(path) as file:
        write = csv_writer(file)
        for row in chain([header], rows):
            write(row)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table that we wrote; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refuse_overwriting(output: str | os.PathLike | None, inputs: Iterable[str | os.PathLike | None]) -> None:
    """Raises a `ValueError` where `output` is one of the files that are read, by this or by another name."""
    for source in inputs:
        both = [path for path in (output, source) if path is not None and os.path.exists(path)]
        if len(both) == 2 and os.path.samefile(*both):
            raise ValueError(f"{output} is the file that is read ({source}): writing would destroy it. Name another.")


def check_output(output: Path, inputs: Iterable[str | os.PathLike | None], *kinds: str) -> str:
    """The extension of a file to write. Raises a `ValueError` for another than `kinds` (".csv"), and for an input."""
    kind, allowed = output.suffix.lower(), kinds or (".csv",)
    if kind not in allowed:
        raise ValueError(f"The output {output} has an unknown extension: use {' or '.join(allowed)}.")
    refuse_overwriting(output, inputs)
    return kind


def is_exported(folder: Path) -> bool:
    """Whether a folder holds a graph, and no weights for torch."""
    return (folder / GRAPH).is_file() and not any(folder.glob("*.safetensors"))


def check_weights(folder: str | os.PathLike) -> None:
    """Raises a `ValueError` that names the first `*.safetensors` file of a folder that is cut short or none."""
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):  # compares its header with its size
                pass
        except SafetensorError as error:
            raise ValueError(
                f"{path} is cut short or broken ({error}, {path.stat().st_size:,} bytes): copy, download or train it "
                "again."
            ) from error


@contextmanager
def naming_disk_faults(path: str | os.PathLike) -> Iterator[None]:
    """Turns what Python, safetensors and torch raise on a full disk into an `OSError` that names a file or folder."""
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
        code = int(number[1]) if number else errno.ENOSPC  # torch does not tell which
        raise OSError(code, os.strerror(code), str(path)) from error


@contextmanager
def staged(folder: str | os.PathLike) -> Iterator[Path]:
    """
    A folder beside, whose files move to `folder` once all of them are written. Weights that are there are replaced as
    a whole: shards of an older model go. The configuration goes first and comes last, so that a kill in between leaves
    no classifier, instead of one with the names of another. What killed processes have left beside is removed. On a
    full disk, an `OSError` names `folder`.
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
        for name in names.intersection(CONFIGURATIONS):
            (folder / name).unlink(missing_ok=True)
        for path in new:
            os.replace(path, folder / path.name)
        if any(WEIGHTS.fullmatch(name) for name in names):
            for path in folder.iterdir():
                if path.name not in names and WEIGHTS.fullmatch(path.name):
                    path.unlink()


def share_weights(folder: str | os.PathLike) -> None:
    """Gives the weights in a folder the permissions of other new files; safetensors keeps them to their owner."""
    os.umask(umask := os.umask(0o077))
    for path in Path(folder).glob("*.safetensors"):
        path.chmod(0o666 & ~umask)


@contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps a folder for this process, however that ends; a `ValueError` where another process has it."""
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
