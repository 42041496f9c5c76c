"""A table that is written in parts, by one process or several: what a killed run has finished is kept for the next."""

import gzip
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.cells import as_text
from ..support.files import csv_writer, locked, open_whole, read_json, write_json


KINDS = ("csv", "jsonl", "parquet")
PLAN = "plan.json"
Record = Mapping[str, Any]


def file_kind(path: Path) -> str:
    """`csv`, `jsonl`, `parquet` or something that cannot be written; `.gz` may follow."""
    return Path(path.name.lower().removesuffix(".gz")).suffix.removeprefix(".")


def write_records(
    file: IO[str], kind: str, records: Sequence[Record], columns: Sequence[str], safe: bool = False
) -> None:
    """Rows of a csv file without its header, or JSON lines; `safe` is that of [`csv_writer`]."""
    write = csv_writer(file, safe)
    for record in records:
        if kind == "csv":
            write(_readable(record.get(name)) for name in columns)
        else:
            file.write(json.dumps(record, ensure_ascii=False, default=lambda value: str(_readable(value))) + "\n")


def _readable(value: Any) -> Any:
    """Bytes as the text that they hold."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


class PartedTable:
    """
    A csv, jsonl or parquet file; csv and jsonl may end in `.gz`. Until it is whole, its parts lie in a folder beside,
    and what stood in its place stays. `safe` is that of [`csv_writer`].
    """

    def __init__(self, path: Path, columns: Sequence[str], safe: bool = False):
        self.path, self.columns, self.safe, self.kind = path, columns, safe, file_kind(path)
        self.is_zipped = path.name.lower().endswith(".gz")
        self.folder = parts_folder(path)

    def part(self, index: int) -> Path:
        """The file of a part, which is there once the part is whole."""
        return self.folder / f"{index:08d}"

    def write(self, index: int, records: Sequence[Record]) -> None:
        """Writes a part: it is there as a whole, or not."""
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
        """Puts so many parts together in their order, and removes them."""
        parts = [self.part(index) for index in range(count)]
        with open_whole(self.path, "wb") as file:
            if self.kind == "parquet":
                _merge_parquet(file, parts)
            else:
                self._write_text(file, [], header=True)
                for part in parts:
                    with open(part, "rb") as content:  # one gzip file after another is one gzip file
                        shutil.copyfileobj(content, file)
        shutil.rmtree(self.folder)


def parts_folder(path: Path) -> Path:
    """Where the parts of a file lie until it is whole."""
    return path.with_name(f".{path.name[:200]}.parts")


@contextmanager
def planned(path: Path, plan: Mapping[str, Any], *, resumes: bool = True) -> Iterator[None]:
    """
    Keeps the parts of a file for this process alone: those that a run of the same plan has left, if it `resumes`;
    others are removed. A `ValueError` says where another process writes them.
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
    """What another process of the same run has [`planned`]."""
    plan = parts_folder(path) / PLAN
    if not plan.is_file():
        raise ValueError(
            f"{plan} cannot be seen from here: the processes need {path.parent} on a disk that they share."
        )
    return read_json(plan)


def _array(values: Sequence[Any]) -> pa.Array:
    """A column of values of one kind, or of their texts."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([as_text(value) for value in values], pa.string())


def _merge_parquet(file: IO[bytes], parts: Sequence[Path]) -> None:
    """A column that is of one kind in some parts, and of another in others, becomes text."""
    schemas = [pq.read_schema(part) for part in parts]
    fields = []
    for name in schemas[0].names:
        column = [pa.schema([schema.field(name)]) for schema in schemas]
        try:
            fields.append(pa.unify_schemas(column, promote_options="permissive").field(0))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            fields.append(pa.field(name, pa.string()))
    schema = pa.schema(fields)
    with pq.ParquetWriter(file, schema) as writer:
        for part in parts:
            table = pq.read_table(part)
            columns = [
                column
                if column.type == field.type
                else pa.chunked_array([_array([as_text(value) for value in column.to_pylist()])])
                if field.type == pa.string()
                else column.cast(field.type)
                for column, field in zip(table.columns, schema)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
