"""`python -m hf_lcl predict`: a class and its probability for every text of a file or of the standard input."""

import csv
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ..data.rows import STREAM_FORMATS, Row, read_rows
from ..evaluation.finished import class_names, load_finished
from ..evaluation.inference import run_model
from .arguments import DataArguments
from .model_flags import data_arguments, model_parser


logger = logging.get_logger(__name__)

DESCRIPTION = """\
Gives each text of a file, or of the standard input, a class, its probability and the probabilities of all classes.

  python -m hf_lcl predict out texts.csv --output_file predictions.csv
  python -m hf_lcl predict out texts.txt > predictions.jsonl
  echo "I got the job!" | python -m hf_lcl predict out

Any sequence classifier of transformers will do, in a folder or on the Hub, whoever trained it. Each prediction has the
line that its text begins on. All files are UTF-8."""
# Batches that are read, sorted by length, run and written together.
BATCHES_AT_ONCE = 32
# Of more broken rows, so many are told of one by one.
TOLD = 10


def main(argv: list[str] | None = None) -> None:
    """
    The command.

    Args:
        argv (`list[str]`, *optional*): the command line; defaults to that of this process.
    """
    flags = _parser().parse_args(argv)
    data_args = data_arguments(flags)
    _check(flags)
    total = None if flags.file == "-" else sum(1 for _ in _good_rows(flags))
    model, tokenizer = load_finished(flags.model, trust_remote_code=flags.trust_remote_code, revision=flags.revision)
    names = class_names(model.config)
    # A file's broken rows were told of when they were counted.
    rows = _good_rows(flags, tell=total is None)
    with _writer(flags.output_file) as write, tqdm(total=total, desc="predict", unit=" texts") as progress:
        while chunk := list(islice(rows, BATCHES_AT_ONCE * flags.batch_size)):
            encoded = _tokenize(tokenizer, [list(row.values.values()) for row in chunk], data_args)
            logits = run_model(model, encoded, tokenizer, batch_size=flags.batch_size, progress=progress).logits
            probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
            for row, values in zip(chunk, probabilities):
                write(_record(row, values, names))


def _parser() -> ArgumentParser:
    parser = model_parser("predict", DESCRIPTION)
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        help="txt (one text a line), csv, json, jsonl or parquet (.gz may follow); - is the standard input",
    )
    parser.add_argument("--input_format", default="txt", choices=STREAM_FORMATS, help="what the standard input holds")
    parser.add_argument("--output_file", type=Path, help="csv or jsonl; default: jsonl on the standard output")
    parser.add_argument(
        "--skip_bad_rows", action="store_true", help="leave out rows that are broken or have no text, and count them"
    )
    return parser


def _check(flags: Namespace) -> None:
    if flags.sentence_pair and len(_text_columns(flags) or ()) != 2:
        raise ValueError("--sentence_pair needs two columns, such as --text_column_names premise,hypothesis.")
    if flags.output_file is not None and flags.output_file.suffix not in (".csv", ".jsonl"):
        raise ValueError(f"output_file={str(flags.output_file)!r} has an unknown extension: use .csv or .jsonl.")


def _text_columns(flags: Namespace) -> list[str] | None:
    return flags.text_column_names and [name.strip() for name in flags.text_column_names.split(",")]


def _good_rows(flags: Namespace, tell: bool = True) -> Iterator[Row]:
    """The rows that have a text. Raises a `ValueError` at the first other one, or tells of it and counts it."""
    name = "The standard input" if flags.file == "-" else flags.file
    good, bad = 0, 0
    for row in read_rows(flags.file, _text_columns(flags), flags.input_format):
        if row.fault is None:
            good += 1
            yield row
            continue
        told = f"{name}, line {row.line} {row.fault}."
        if not flags.skip_bad_rows:
            raise ValueError(f"{told} --skip_bad_rows leaves such rows out.")
        bad += 1
        if tell and bad <= TOLD:
            logger.warning(f"Skipped: {told}")
    if tell and bad:
        logger.warning(f"{name}: {bad:,} of {good + bad:,} rows were skipped.")
    if not good:
        raise ValueError(f"{name} has no rows that can be read: there is nothing to predict.")


def _tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[list[str]], data_args: DataArguments) -> Dataset:
    """Token ids of texts, each of which may stand in several columns."""
    if data_args.sentence_pair:
        columns = [list(column) for column in zip(*texts)]
    else:
        columns = [[data_args.text_column_delimiter.join(parts) for parts in texts]]
    max_length = min(data_args.max_seq_length, tokenizer.model_max_length)
    encoded = tokenizer(*columns, truncation=True, max_length=max_length)
    if any(len(ids) == max_length for ids in encoded["input_ids"]):
        logger.warning_once(f"Texts of more than {max_length} tokens are cut: --max_seq_length.")
    return Dataset.from_dict(dict(encoded))


def _record(row: Row, probabilities: np.ndarray, names: list[str]) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {
        "line": row.line,
        **row.values,
        "label": names[best],
        "probability": round(float(probabilities[best]), 6),
        "probabilities": {name: round(float(value), 6) for name, value in zip(names, probabilities)},
    }


@contextmanager
def _writer(path: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What writes a record: into a file, which has its name once it is whole, or to the standard output."""
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8")
        yield _json_lines(sys.stdout)
        sys.stdout.flush()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        yield _json_lines(file) if path.suffix == ".jsonl" else _csv_lines(file)
    os.replace(unfinished, path)


def _json_lines(file: TextIO) -> Callable[[dict[str, Any]], None]:
    return lambda record: file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _csv_lines(file: TextIO) -> Callable[[dict[str, Any]], None]:
    writer = csv.writer(file, lineterminator="\n")
    header: list[str] = []

    def write(record: dict[str, Any]) -> None:
        record = dict(record)
        record |= {f"p({name})": value for name, value in record.pop("probabilities").items()}
        if not header:
            header.extend(record)
            writer.writerow(header)
        writer.writerow(record.values())

    return write
