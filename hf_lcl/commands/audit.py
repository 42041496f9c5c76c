"""`python -m hf_lcl audit`: lists the rows of a labelled file to check."""

from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..data.corrections import label_of
from ..data.formats import Row
from ..data.several_labels import written_list
from ..evaluation.audit.embedding import Embedder
from ..evaluation.audit.findings import SAME_TEXT_COSINE, look_at
from ..evaluation.audit.writing import Audit
from ..support.command_line import command_line
from ..support.files import check_output, refuse_overwriting
from .arguments import DataArguments
from .automatic import few_lines
from .columns import set_columns
from .exits import wrong_usage
from .model_arguments import ModelArguments, default_encoder
from .model_flags import HOW_ROWS_ARE_READ, add_data_flags, add_running, given_flags, parse_flags
from .parsing import command_parser


DESCRIPTION = """\
Lists the rows of a labelled file, the most likely label errors first, with the three nearest texts as evidence. Also
finds texts that repeat another (duplicate), equal texts with different labels (conflict) and texts far from all others
(outlier).

  python -m hf_lcl audit train.csv                          # writes audit.csv and audit.html
  python -m hf_lcl audit train.csv --model me/my-encoder --output_file list.csv

Fill in the column `decision` (keep, change, drop); change sets the label to the column `suggested`. Then:

  python -m hf_lcl apply audit.csv train.csv --output_file train_2.csv

The texts are embedded once, and each label is compared with the out-of-fold prediction of a logistic regression. The
model is an encoder or a finished classifier. One trained on the same file has learned its errors, and finds fewer."""


def main(argv: list[str]) -> None:
    parser = command_parser("audit", DESCRIPTION)
    parser.add_argument("train_file", metavar="FILE", help="csv, tsv, json, jsonl, txt or parquet (.gz may follow)")
    parser.add_argument("--model", help="Hub id or folder of an encoder or a classifier; default: all-MiniLM-L6-v2")
    parser.add_argument("--output_file", type=Path, default=Path("audit.csv"), help="the list; its page is beside it")
    parser.add_argument(
        "--near_equal", type=float, default=SAME_TEXT_COSINE, help="minimum cosine similarity of near-equal texts"
    )
    parser.add_argument("--no_labels", action="store_true", help="without labels: find only duplicates and outliers")
    add_data_flags(parser, "how the texts are read", *HOW_ROWS_ARE_READ)
    add_data_flags(parser, "a split whose texts should not be in FILE", "validation_file")
    add_running(parser)
    flags, data_args = parse_flags(parser, argv)
    page = flags.output_file.with_suffix(".html")
    with wrong_usage():
        if not 0 < flags.near_equal <= 1:
            raise ValueError(f"--near_equal {flags.near_equal:g} must be a cosine above 0, and 1 at most.")
        check_output(flags.output_file, data_args.files.values())
        refuse_overwriting(page, data_args.files.values())
    rows = read_rows(data_args, flags.train_file, has_labels=not flags.no_labels)
    texts = [data_args.text_of(row) for row in rows]
    names, labels = class_ids(rows, data_args.label_column_name)
    with few_lines(is_brief=True):
        if flags.model is None:
            ModelArguments().load_config()  # its error explains how to install the default encoder
        embed = embedder(flags, flags.model or default_encoder())
        others = None
        if flags.validation_file is not None:
            read = data_args.reader.rows(flags.validation_file, data_args.text_column_names, columns=[])
            others = embed([data_args.text_of(row) for row in read], "validation texts")
        found = look_at(embed(texts), labels, texts, same=flags.near_equal, others=others)
    audit = Audit(found, [row.line for row in rows], texts, names)
    audit.write_list(flags.output_file)
    print(*audit.summary(), sep="\n")
    print(f"list        {flags.output_file}, the surest first")
    if find_spec("matplotlib") is not None:
        from ..evaluation.audit.page import write_page

        write_page(audit, page, Path(flags.train_file).name)
        print(f"page        {page}")
    else:
        print('page        none: pip install "hf_lcl[plots]"')
    new = Path(flags.train_file).name.partition(".")[0] + "_2.csv"
    words = ["apply", flags.output_file, flags.train_file, "--output_file", new, *given_flags(vars(flags))]
    print(f"next        fill in its column decision (keep, change, drop); {command_line(*words)}")


def embedder(flags: Namespace, model: str) -> Embedder:
    """The embedder of a model, with the settings of the flags."""
    remote = flags.trust_remote_code
    return Embedder(model, batch_size=flags.batch_size, max_length=flags.max_seq_length, trust_remote_code=remote)


def read_rows(data_args: DataArguments, path: str, *, has_labels: bool = True) -> list[Row]:
    """
    The rows of a file, each with a text and a label. The columns are found as by `train FILE`, and set in `data_args`.
    They are printed unless the user named them or they have the usual names.
    """
    if data_args.label_column_name or len(data_args.reader.columns(path)) > 1:
        reasons, _ = set_columns(data_args, path, has_labels=has_labels)
        print(*reasons, sep="\n", end="\n" * bool(reasons))
    if not has_labels:
        data_args.label_column_name = None
    text, label = data_args.text_column_names, data_args.label_column_name
    return list(data_args.reader.rows(path, text, columns=[label] if label else [], label_column=label))


def class_ids(rows: list[Row], label_column: str | None) -> tuple[list[str], np.ndarray | None]:
    """
    The sorted class names and the class id of each row; an empty list and `None` without a label column. Raises a
    `ValueError` if a row has several labels.
    """
    if label_column is None:
        return [], None
    if several := [row.line for row in rows if isinstance(written_list(row.values[label_column]), list)]:
        raise ValueError(
            f"Line {several[0]} holds a list of labels: only one label per text can be looked at. --no_labels looks "
            "for duplicates and outliers."
        )
    names, ids = np.unique([label_of(row, label_column) for row in rows], return_inverse=True)
    return names.tolist(), ids
