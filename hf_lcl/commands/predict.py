"""`python -m hf_lcl predict`: a class and its probability for every text of a file or of the standard input."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ..data.formats import Row
from ..evaluation.finished import load_finished
from ..evaluation.inference import run_model
from ..model.classes import class_names
from ..support.files import refuse_overwriting
from .arguments import DataArguments
from .model_flags import data_arguments, model_parser, parse_flags
from .parsing import given_names
from .predictions import prediction_writer


logger = logging.get_logger(__name__)

DESCRIPTION = """\
Gives each text of a file, or of the standard input, a class and its probability.

  python -m hf_lcl predict out texts.csv --output_file predictions.csv
  python -m hf_lcl predict out texts.txt > predictions.jsonl
  echo "I got the job!" | python -m hf_lcl predict out

Any sequence classifier of transformers will do, in a folder or on the Hub, whoever trained it. Each prediction has the
line that its text begins on, all columns of the input, label and probability (--top_k, --all_probabilities). Where
the input has a column of such a name, ours begins with predicted_ (predicted_label). What is written is UTF-8."""
# Batches that are read, sorted by length, run and written together.
BATCHES_AT_ONCE = 32


def main(argv: list[str] | None = None) -> None:
    """The command; `argv` defaults to the command line of this process."""
    argv = sys.argv[2:] if argv is None else argv
    flags = parse_flags(_parser(), argv)
    is_txt = flags.input_format == "txt" if flags.file == "-" else ".txt" in Path(flags.file).suffixes
    if is_txt and "text_column_names" not in given_names(argv):
        flags.text_column_names = None  # the columns of training are of another kind of file
    data_args = data_arguments(flags)
    _check(flags)
    # A file is read twice: its broken rows are told of before anything is predicted, and its columns are known.
    read = partial(data_args.reader.rows, flags.file, flags.text_column_names, stream_kind=flags.input_format)
    total, columns = (None, []) if flags.file == "-" else _columns(read())
    model, tokenizer = load_finished(flags.model, trust_remote_code=flags.trust_remote_code, revision=flags.revision)
    form = {"safe": flags.csv_safe, "top_k": flags.top_k, "all_probabilities": flags.all_probabilities}
    form["reject_below"] = flags.reject_below
    rows, rows_at_once = read(), BATCHES_AT_ONCE * flags.batch_size
    chunk = list(islice(rows, rows_at_once))
    if total is None:
        _, columns = _columns(chunk)
    with (
        prediction_writer(flags.output_file, columns, class_names(model.config), **form) as write,
        tqdm(total=total, desc="predict", unit=" texts") as progress,
    ):
        while chunk:
            encoded = _tokenize(tokenizer, [row.texts for row in chunk], data_args)
            logits = run_model(model, encoded, tokenizer, batch_size=flags.batch_size, progress=progress).logits
            probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
            for row, values in zip(chunk, probabilities):
                write(row.line, row.values, values)
            chunk = list(islice(rows, rows_at_once))


def _parser() -> ArgumentParser:
    parser = model_parser("predict", DESCRIPTION)
    add, formats = parser.add_argument, ("txt", "csv", "tsv", "jsonl")
    kinds = "txt (one text a line), csv, tsv, json, jsonl or parquet (.gz may follow); - is the standard input"
    add("file", nargs="?", default="-", help=kinds)
    add("--input_format", default="txt", choices=formats, help="what the standard input holds")
    add("--output_file", type=Path, help="csv or jsonl; default: jsonl on the standard output")
    apostrophe = "in a csv, put an apostrophe before texts that a spreadsheet would compute (=1+1, @SUM(A1))"
    add("--top_k", type=int, default=1, help="so many of the likeliest classes of each text")
    add("--all_probabilities", action="store_true", help="the probability of every class, too")
    add("--reject_below", type=float, metavar="P", help="add a column decision: below P review, else accept")
    add("--csv_safe", action="store_true", help=apostrophe)
    return parser


def _check(flags: Namespace) -> None:
    if flags.sentence_pair and len((flags.text_column_names or "").split(",")) != 2:
        raise ValueError("--sentence_pair needs two columns, such as --text_column_names premise,hypothesis.")
    extension = None if flags.output_file is None else flags.output_file.suffix.lower()
    if extension not in (None, ".csv", ".jsonl"):
        raise ValueError(f"output_file={str(flags.output_file)!r} has an unknown extension: use .csv or .jsonl.")
    if flags.top_k < 1:
        raise ValueError(f"--top_k {flags.top_k} leaves no class: use 1 or more.")
    if flags.reject_below is not None and not 0 < flags.reject_below <= 1:
        raise ValueError(f"--reject_below {flags.reject_below:g} is no probability: use a number from 0 to 1, as 0.7.")
    if flags.csv_safe and extension != ".csv":
        raise ValueError("--csv_safe changes cells of a csv file: name one with --output_file.")
    source = flags.file
    if source == "-":
        source = None
        with suppress(OSError):  # what is no file
            source = sys.stdin.fileno()
    refuse_overwriting(flags.output_file, [source])


def _columns(rows: Iterable[Row]) -> tuple[int, list[str]]:
    """The number of rows, and the names of all their columns."""
    count, columns = 0, dict[str, None]()
    for row in rows:
        count += 1
        columns |= dict.fromkeys(row.values)
    return count, list(columns)


def _tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Sequence[str]], data_args: DataArguments) -> Dataset:
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
