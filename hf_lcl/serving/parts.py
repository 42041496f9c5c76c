"""A table written in parts, by one process or several: the next run reuses the finished parts of a killed one."""

import gzip
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.cells import as_text
from ..support.files import NAME_LENGTH, csv_writer, file_kind, locked, open_whole, read_json, write_json


KINDS = ("csv", "jsonl", "parquet")
PLAN = "plan.json"
Record = Mapping[str, Any]


def write_records(
    file: IO[str], kind: str, records: Sequence[Record], columns: Sequence[str], safe: bool = False
) -> None:
    """Writes rows of a csv file without its header, or JSON lines; `safe` is that of [`csv_writer`]."""
    write = csv_writer(file, safe)
    for record in records:
        if kind == "csv":
            write(_readable(record.get(name)) for name in columns)
        else:
            file.write(json.dumps(_finite(record), ensure_ascii=False, allow_nan=False, default=_as_string) + "\n")


def _readable(value: Any) -> Any:
    """Bytes decoded to text; other values unchanged."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _as_string(value: Any) -> str:
    return str(_readable(value))


def _finite(value: Any) -> Any:
    """A value, with `None` for the numbers that JSON lacks (NaN and infinity), in lists and objects, too."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


class PartedTable:
    """
    A csv, jsonl or parquet file; csv and jsonl may end in `.gz`. Until it is complete, its parts are in a folder
    beside it, and an older file of its name is kept. `safe` is that of [`csv_writer`].
    """

    def __init__(self, path: Path, columns: Sequence[str], safe: bool = False):
        self.path, self.columns, self.safe, self.kind = path, columns, safe, file_kind(path)
        self.is_zipped = path.name.lower().endswith(".gz")
        self.folder = parts_folder(path)

    def part(self, index: int) -> Path:
        """The file of a part, which exists only once the part is complete."""
        return self.folder / f"{index:08d}"

    def write(self, index: int, records: Sequence[Record]) -> None:
        """Writes a part atomically."""
        with open_whole(self.part(index), "wb") as file:
            if self.kind == "parquet":
                pq.write_table(
                    pa.table({name: _array([row.get(name) for row in records]) for name in self.columns}), file
                )
            else:
                self._write_text(file, records)

    def _write_text(self, file: IO[bytes], records: Sequence[Record], header: bool = False) -> None:
        text = io.StringIO(newline="")
        if header and self.kind == "csv":
            csv_writer(text)(self.columns)
        write_records(text, self.kind, records, self.columns, self.safe)
        content = text.getvalue().encode()
        file.write(gzip.compress(content) if self.is_zipped and content else content)

    def merge(self, count: int) -> None:
        """Merges the first `count` parts in their order, and removes the folder of parts."""
        parts = [self.part(index) for index in range(count)]
        with open_whole(self.path, "wb") as file:
            if self.kind == "parquet":
                _merge_parquet(file, parts)
            else:
                self._write_text(file, [], header=True)
                for part in parts:
                    with open(part, "rb") as content:  # concatenated gzip files are a gzip file
                        shutil.copyfileobj(content, file)
        shutil.rmtree(self.folder)


def parts_folder(path: Path) -> Path:
    """The folder with the parts of a file until it is complete, another one for each name."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return path.with_name(f".{path.name[:NAME_LENGTH]}.{digest}.parts")


@contextmanager
def planned(path: Path, plan: Mapping[str, Any], *, resumes: bool = True) -> Iterator[None]:
    """
    Locks the parts of a file for this process. Parts of an earlier run with another plan are removed. Unless the run
    `resumes`, all parts are removed at the end. Raises a `ValueError` if another process writes them.
    """
    folder = parts_folder(path)
    with locked(folder):
        if not (folder / PLAN).is_file() or read_plan(path) != plan:
            for left in folder.iterdir():
                left.unlink()
            write_json(folder / PLAN, plan)
        try:
            yield
        finally:
            if not resumes:
                shutil.rmtree(folder, ignore_errors=True)


def read_plan(path: Path) -> dict[str, Any]:
    """The plan that a process of the same run wrote in [`planned`]."""
    plan = parts_folder(path) / PLAN
    if not plan.is_file():
        raise ValueError(
            f"{plan} cannot be seen from here: the processes need {path.parent} on a disk that they share."
        )
    return read_json(plan)


def _array(values: Sequence[Any]) -> pa.Array:
    """A column of the values or, if their types differ, of their texts."""
    with suppress(pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        found = pa.array(values)
        if "struct<>" not in str(found.type):  # which parquet has no column for
            return found
    return pa.array([as_text(value) for value in values], pa.string())


def _merge_parquet(file: IO[bytes], parts: Sequence[Path]) -> None:
    """Merges the parts. A column whose types in the parts cannot be unified becomes text."""
    schemas = [pq.read_schema(part) for part in parts]
    fields = []
    for name in schemas[0].names:
        column = [pa.schema([schema.field(name)]) for schema in schemas]
        try:
            field = pa.unify_schemas(column, promote_options="permissive").field(0)
            for part, schema in zip(parts, schemas):
                if schema.field(name).type != field.type:  # the cast fails where a number would be rounded
                    pq.read_table(part, columns=[name])[name].cast(field.type)
            fields.append(field)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            fields.append(pa.field(name, pa.string()))
    schema = pa.schema(fields)
    with pq.ParquetWriter(file, schema) as writer:
        for part in parts:
            table = pq.read_table(part)
            columns = [
                column.cast(field.type)
                if column.type == field.type or field.type != pa.string()
                else pa.chunked_array([pa.array([as_text(value) for value in column.to_pylist()], pa.string())])
                for column, field in zip(table.columns, schema)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
