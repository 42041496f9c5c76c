"""`python -m hf_lcl predict`: predicts a class and its probability for each text of files or standard input."""

import io
import secrets
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm
from transformers.utils import logging

from ..data.formats import Row
from ..evaluation.decisions import SEPARATOR, label_text, probabilities
from ..serving.onnx_classifier import OnnxClassifier
from ..serving.parts import KINDS, PartedTable, planned, read_plan, write_records
from ..serving.processes import Processes, started_processes
from ..support.files import file_kind, is_exported, refuse_overwriting
from ..support.version import __version__
from .arguments import DataArguments
from .exits import UsageError, telling_what_is_kept, wrong_usage
from .model_flags import model_parser, parse_model_flags


logger = logging.get_logger(__name__)

DESCRIPTION = """\
Predicts a class and its probability for each text of files, or of the standard input.

  python -m hf_lcl predict out texts.csv --output_file predictions.csv
  python -m hf_lcl predict out texts.txt > predictions.jsonl
  echo "I got the job!" | python -m hf_lcl predict out
  torchrun --nproc_per_node 2 -m hf_lcl predict out texts.csv.gz more.parquet --output_file predictions.parquet

Any sequence classifier of transformers works, in a folder or on the Hub, also one trained elsewhere or exported. Each
prediction has the line on which its text begins (with several files, also the file), all columns of the input, label
and probability (more with --top_k, --all_probabilities). If the input has a column of the same name, the new one gets
the prefix predicted_ (predicted_label). The output is UTF-8.

Files may be larger than memory. Finished parts are kept beside --output_file until it is complete: after a kill, the
same command resumes from them. Several processes, also on several machines that share a disk, divide the rows."""
ROWS_AT_ONCE = 4096  # rows read, sorted by length, predicted and written together


def main(argv: list[str]) -> None:
    flags, data_args = parse_model_flags(_parser(), argv)
    _check(flags, data_args)
    with started_processes() as processes:
        if processes.count > 1 and (flags.output_file is None or "-" in flags.files):
            raise UsageError("Several processes divide the rows of files, and need an --output_file.")
        rows, plan = _read(flags, data_args), dict[str, Any]()
        if "-" in flags.files:
            first = list(islice(rows, ROWS_AT_ONCE))
            _, columns = _columns(first)
            plan = {"columns": columns, "rows": None, "window": ROWS_AT_ONCE, "run": secrets.token_hex(8)}
            rows = chain(first, rows)
        elif processes.index == 0:
            # Files are read twice: the first pass reports broken rows before any prediction, and collects all columns.
            plan = _plan(flags, data_args, processes)
        _predict(flags, data_args, processes, plan, rows)


def _parser() -> ArgumentParser:
    parser = model_parser("predict", DESCRIPTION)
    add, formats = parser.add_argument, ("txt", "csv", "tsv", "jsonl")
    kinds = "txt (one text a line), csv, tsv, json, jsonl or parquet (.gz may follow); - is the standard input"
    add("files", nargs="*", default=["-"], metavar="FILE", help=kinds)
    add("--input_format", default="txt", choices=formats, help="what the standard input holds")
    kinds = "csv, jsonl (.gz may follow) or parquet; default: jsonl on the standard output"
    add("--output_file", type=Path, help=kinds)
    apostrophe = "in a csv, put an apostrophe before texts that a spreadsheet would compute (=1+1, @SUM(A1))"
    add("--top_k", type=int, default=1, help="number of most likely classes to write per text")
    add("--all_probabilities", action="store_true", help="also write the probability of every class")
    add("--reject_below", type=float, metavar="P", help="add a column decision: below P review, else accept")
    add("--csv_safe", action="store_true", help=apostrophe)
    return parser


@wrong_usage()
def _check(flags: Namespace, data_args: DataArguments) -> None:
    if data_args.sentence_pair and len((data_args.text_column_names or "").split(",")) != 2:
        raise ValueError("--sentence_pair needs two columns, such as --text_column_names premise,hypothesis.")
    kind = None if flags.output_file is None else file_kind(flags.output_file)
    if kind not in (None, *KINDS) or (kind == "parquet" and flags.output_file.suffix.lower() == ".gz"):
        raise ValueError(
            f"output_file={str(flags.output_file)!r} has an unknown extension: use .csv or .jsonl (.gz may follow), "
            "or .parquet."
        )
    if flags.top_k < 1:
        raise ValueError(f"--top_k {flags.top_k} leaves no class: use 1 or more.")
    if flags.reject_below is not None and not 0 < flags.reject_below <= 1:
        raise ValueError(f"--reject_below {flags.reject_below:g} is no probability: use a number from 0 to 1, as 0.7.")
    if flags.csv_safe and kind != "csv":
        raise ValueError("--csv_safe changes cells of a csv file: name one with --output_file.")
    if "-" in flags.files and len(flags.files) > 1:
        raise ValueError("- is the standard input, which cannot be read beside files: name one or the other.")
    refuse_overwriting(flags.output_file, ["/dev/stdin" if file == "-" else file for file in flags.files])


def _read(flags: Namespace, data_args: DataArguments) -> Iterator[tuple[str, Row]]:
    """The rows of all files, one after the other."""
    for file in flags.files:
        columns = data_args.columns_of_texts(flags.input_format if file == "-" else file_kind(Path(file)))
        for row in data_args.reader.rows(file, columns, stream_kind=flags.input_format):
            yield file, row


def _columns(rows: Iterable[tuple[str, Row]]) -> tuple[int, list[str]]:
    """The number of rows, and the names of all their columns."""
    count, columns = 0, dict[str, None]()
    for _, row in rows:
        count += 1
        columns |= dict.fromkeys(row.values)
    return count, list(columns)


def _plan(flags: Namespace, data_args: DataArguments, processes: Processes) -> dict[str, Any]:
    """What the parts of an output depend on: parts of another plan cannot be reused."""
    count, columns = _columns(_read(flags, data_args))
    model = Path(flags.model)
    paths = [Path(file) for file in flags.files] + sorted(path for path in model.glob("*") if path.is_file())
    states = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    settings = {name: value for name, value in vars(flags).items() if name not in ("output_file", "batch_size")}
    window = max(1, min(ROWS_AT_ONCE, -(-count // processes.count)))
    return {"hf_lcl": __version__, "files": states, "window": window, "rows": count, "columns": columns} | settings


def _predict(
    flags: Namespace,
    data_args: DataArguments,
    processes: Processes,
    plan: dict[str, Any],
    rows: Iterator[tuple[str, Row]],
) -> None:
    """Predicts and writes the windows of rows that are assigned to this process."""
    output, done = flags.output_file, 0
    with ExitStack() as stack:
        if output is not None:
            stack.enter_context(telling_what_is_kept(lambda: _kept(output, done, "-" in flags.files)))
        names, several, run = _load(flags)
        if several and (flags.top_k > 1 or flags.reject_below is not None):
            flag = "--top_k" if flags.top_k > 1 else "--reject_below"
            raise ValueError(f"{flag} ranks classes, but {flags.model} decides each: use --all_probabilities.")
        if output is not None:
            if processes.index == 0:
                stack.enter_context(planned(output, plan, resumes="-" not in flags.files))
            processes.wait()
            plan = read_plan(output)
        kind = "jsonl" if output is None else file_kind(output)
        header, record = _records_of(flags, plan["columns"], names, is_flat=kind != "jsonl", several=several)
        table = None if output is None else PartedTable(output, header, flags.csv_safe)
        if table is None and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        own = plan["rows"] and -(-plan["rows"] // processes.count)
        bar = stack.enter_context(tqdm(total=own, desc="predict", unit=" texts", disable=processes.index > 0))
        logits = partial(run, max_length=data_args.max_seq_length, batch_size=flags.batch_size, progress=bar)
        index = -1
        for index, window in enumerate(iter(lambda: list(islice(rows, plan["window"])), [])):
            if index % processes.count != processes.index:
                continue
            if table is not None and table.part(index).exists():
                bar.initial += len(window)  # not counted in the speed of the bar
                bar.update(len(window))
            else:
                texts = [row.texts if data_args.sentence_pair else data_args.text_of(row) for _, row in window]
                found = probabilities(logits(texts), several)
                records = [record(file, row, values) for (file, row), values in zip(window, found)]
                if table is None:
                    write_records(sys.stdout, kind, records, header)
                else:
                    table.write(index, records)
            done += len(window)
        processes.wait()
        if table is not None and processes.index == 0:
            table.merge(index + 1)


def _load(flags: Namespace) -> tuple[list[str], bool, Callable[..., np.ndarray]]:
    """The class names of a model, whether it is a multi-label one, and a function from texts to logits."""
    if is_exported(Path(flags.model)):
        exported = OnnxClassifier(Path(flags.model))
        return exported.names, exported.has_several_labels, exported.logits
    from ..evaluation.finished import load_finished  # torch takes seconds, not needed for exported ones
    from ..evaluation.inference import run_on_texts
    from ..model.classes import class_names

    options = {"trust_remote_code": flags.trust_remote_code, "revision": flags.revision}
    model, tokenizer = load_finished(flags.model, may_have_several_labels=True, **options)

    def logits(texts: Sequence[Any], **settings: Any) -> np.ndarray:
        return run_on_texts(model, tokenizer, texts, **settings).logits

    return class_names(model.config), model.config.has_several_labels, logits


def _kept(output: Path, done: int, is_stream: bool) -> str:
    if is_stream or not done:
        return f"{output} is as it was."
    return f"{output} is as it was; {done:,} predictions are kept beside it, and the same command goes on from there."


def _records_of(
    flags: Namespace, columns: Sequence[str], names: Sequence[str], *, is_flat: bool, several: bool
) -> tuple[list[str], Callable[[str, Row, np.ndarray], dict[str, Any]]]:
    """
    The columns of the predictions for an input with these `columns`, and a function that makes a record from the file
    of a text, its row and the probabilities of all classes.

    A record has the line (with several files, also the file), all `columns` of the row unchanged, `label` and
    `probability`. By the flags it also has `label_2`, `probability_2`, ..., the `decision` and the probabilities of
    all classes: `p(NAME)` if records are flat (`is_flat`, as in csv files), else `probabilities`. With `several`
    labels per text, `label` joins all above 0.5 by `|`, and `probability` theirs. A new column whose name the input
    has gets the prefix `predicted_`. Rows may have columns besides `columns` only if records are not flat.
    """
    top_k = min(flags.top_k, len(names))
    places = ["file", "line"] if len(flags.files) > 1 else ["line"]
    wanted = [*places, "label", "probability"]
    wanted += [f"{what}_{rank}" for rank in range(2, top_k + 1) for what in ("label", "probability")]
    if flags.all_probabilities:
        wanted += [f"p({name})" for name in names] if is_flat else ["probabilities"]
    if flags.reject_below is not None:
        wanted.append("decision")
    ours: dict[str, str] = {}
    for name in wanted:
        new = name
        while new in columns or new in ours.values():
            new = f"predicted_{new}"
        ours[name] = new
    if renamed := [f"{name} is in the column {new}" for name, new in ours.items() if name != new]:
        logger.warning(f"The input has columns with the names of predicted ones: {', '.join(renamed)}.")
    if several and not flags.all_probabilities and (unclear := [name for name in names if SEPARATOR in name]):
        logger.warning(
            f"The label {unclear[0]!r} holds the {SEPARATOR!r} that stands between labels: --all_probabilities tells "
            "them apart."
        )
    before, after = [*ours.values()][: len(places)], [*ours.values()][len(places) :]

    def record(file: str, row: Row, values: np.ndarray) -> dict[str, Any]:
        new = [name for name in row.values if name not in columns]
        if new and (is_flat or set(new) & set(ours.values())):
            raise ValueError(
                f"Line {row.line} has a column {new[0]!r}, which the rows before it lack: give a file instead of the "
                "standard input, or columns of the same names in each row."
            )
        rounded = [round(float(value), 6) for value in values]
        best = np.argsort(-values, kind="stable")[:top_k]
        found: list[Any] = [value for index in best for value in (names[index], rounded[index])]
        if several:
            found = [label_text(values > 0.5, names), label_text(values > 0.5, [str(value) for value in rounded])]
        if flags.all_probabilities:
            found += rounded if is_flat else [dict(zip(names, rounded))]
        if flags.reject_below is not None:
            found.append("review" if rounded[best[0]] < flags.reject_below else "accept")
        place = (file, row.line) if "file" in places else (row.line,)
        return {**dict(zip(before, place)), **row.values, **dict(zip(after, found))}

    return [*before, *columns, *after], record
