"""`python -m hf_lcl apply`: writes a corrected copy of a labelled file."""

from itertools import chain
from pathlib import Path

from ..data.corrections import CHANGE, apply_corrections, read_corrections
from ..data.reading import Reader, named_columns
from ..serving.parts import write_records
from ..support.files import check_output, open_whole, write_csv
from .columns import set_columns
from .exits import wrong_usage
from .model_flags import HOW_ROWS_ARE_READ, add_data_flags, parse_flags
from .parsing import command_parser


DESCRIPTION = """\
Writes a corrected copy of a labelled file from decisions about its rows. The old file is never overwritten.

  python -m hf_lcl apply audit.csv train.csv --output_file train_2.csv
  python -m hf_lcl apply corrections.csv train.csv --output_file train_2.csv

The decisions are the list of `audit` with its column `decision` filled in (keep, change to the class in the column
`suggested`, drop), or the corrections.csv of `demo`. Texts in corrections.csv that the file lacks are added."""


def main(argv: list[str]) -> None:
    parser = command_parser("apply", DESCRIPTION)
    add = parser.add_argument
    add("corrections", type=Path, help="corrections.csv, or audit.csv with decisions")
    add("train_file", metavar="FILE", help="the labelled file to correct")
    add("--output_file", type=Path, required=True, help="the new file: csv or jsonl, in UTF-8")
    add("--corrections_encoding", default="utf-8", help="encoding of the corrections; cp1252 for old spreadsheets")
    add_data_flags(parser, "how the texts are read", *HOW_ROWS_ARE_READ)
    flags, data_args = parse_flags(parser, argv)
    with wrong_usage():
        kind = check_output(flags.output_file, [flags.train_file, flags.corrections], ".csv", ".jsonl")
        if flags.corrections.resolve() == Path(flags.train_file).resolve():
            raise ValueError(f"{flags.train_file} stands twice: name the corrections first, then the labelled file.")
        columns = data_args.reader.columns(flags.train_file)
        if {"suggested", "decision"} <= {*columns}:
            raise ValueError(
                f"{flags.train_file} is a list that `audit` wrote: name it first, then the labelled file."
            )
    reader = Reader(flags.corrections_encoding, remedy="corrections_encoding='cp1252' may read it")
    corrections = read_corrections(flags.corrections, reader.rows(flags.corrections, ["text"]))
    set_columns(data_args, flags.train_file, has_labels=any(one.decision == CHANGE for one in corrections))
    text_columns = named_columns(data_args.text_column_names, columns)
    read = data_args.reader.rows(flags.train_file, text_columns)
    texts = ((row, data_args.text_of(row)) for row in read)
    rows, counts = apply_corrections(texts, corrections, text_columns[0], data_args.label_column)
    if kind == ".csv":
        columns = [*dict.fromkeys(chain(columns, *rows))]  # the header of a JSON file is that of its first rows
        write_csv(flags.output_file, columns, ([row.get(name) for name in columns] for row in rows))
    else:
        with open_whole(flags.output_file) as file:
            write_records(file, kind.removeprefix("."), rows, columns)
    told = ", ".join(f"{counts[what]:,} {what}" for what in ("changed", "dropped", "added"))
    print(f"{flags.output_file}: {len(rows):,} rows; {told}")
