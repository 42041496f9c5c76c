"""`python -m hf_lcl next`: chooses the texts of a pool to label next."""

from pathlib import Path

import numpy as np

from ..data.reading import named_columns
from ..evaluation.audit.choosing import choose_next
from ..evaluation.audit.findings import same_words
from ..evaluation.decisions import probabilities
from ..model.classes import class_names
from ..support.files import check_output, file_kind, write_csv
from .audit import embedder
from .automatic import few_lines
from .exits import UsageError, wrong_usage
from .model_flags import add_data_flags, model_parser, parse_model_flags, remembered
from .parsing import refuse


DESCRIPTION = """\
Chooses the texts of a pool to label next by margin sampling: those with the smallest margin between their two most
likely classes. Of near-equal texts one is taken. No predicted class gets more than twice its equal share, unless the
others have too few texts. Texts of the training file are skipped.

  python -m hf_lcl next out pool.csv --n 100 --output_file next.csv

next.csv has the text and label columns of the training file, with the predicted class as the label: correct it, and
train on both files. Further columns are the line in the pool, the second most likely class and the probability."""


def main(argv: list[str]) -> None:
    parser = model_parser("next", DESCRIPTION)
    add = parser.add_argument
    add("pool", help="texts without labels: csv, tsv, json, jsonl, txt or parquet (.gz may follow)")
    add("--n", type=int, default=100, help="how many texts to choose")
    add("--output_file", type=Path, default=Path("next.csv"), help="a csv file")
    add_data_flags(parser, "the training texts", "train_file", "label_column_name")
    flags, data_args = parse_model_flags(parser, argv)
    if flags.n < 1:
        raise UsageError(f"--n {flags.n} leaves no text: use 1 or more.")
    trained_on = remembered(Path(flags.model), {"train_file"}).get("train_file")
    if data_args.train_file is None and trained_on and Path(trained_on).is_file():
        data_args.train_file = trained_on
        refuse(data_args.problems())
    with wrong_usage():
        check_output(flags.output_file, [flags.pool, data_args.train_file])
    column = data_args.text_column_names
    known = set()
    if data_args.train_file is not None:
        trained = data_args.reader.rows(data_args.train_file, column, columns=[])
        known = {same_words(data_args.text_of(row)) for row in trained}
    columns_of_pool = data_args.columns_of_texts(file_kind(Path(flags.pool)))
    rows = list(data_args.reader.rows(flags.pool, columns_of_pool, columns=[]))
    text_columns = named_columns(column, data_args.reader.columns(flags.pool))
    texts = [data_args.text_of(row) for row in rows]
    with few_lines(is_brief=True):
        embed = embedder(flags, flags.model)
        if not embed.is_classifier:
            raise ValueError(f"{flags.model} is an encoder without classes: name the folder that `train` wrote.")
        embeddings, logits = embed.run(texts, "pool")
    chosen, passed_over = choose_next(logits, embeddings, texts, flags.n, known=known)
    if not chosen:
        raise ValueError(f"{flags.pool} has no text that does not stand in {data_args.train_file}: give other texts.")

    def cells(row: int) -> list[str]:
        """The text columns of a row, of which a txt pool has only the first."""
        return [*rows[row].texts, *[""] * (len(text_columns) - len(rows[row].texts))]

    names, found = class_names(embed.model.config), probabilities(logits[chosen], several=False)
    write_csv(
        flags.output_file,
        [*text_columns, data_args.label_column, "line", "second_guess", "probability"],
        (
            [*cells(row), names[best[0]], rows[row].line, names[best[1]], round(float(values[best[0]]), 6)]
            for row, values, best in zip(chosen, found, np.argsort(-found, axis=1, kind="stable"))
        ),
    )
    told = [f"{passed_over['known']:,} stand in {data_args.train_file}"] if data_args.train_file else []
    told += [f"{passed_over['near-equal']:,} were near-equal to a chosen one"]
    print(f"{flags.output_file}: {len(chosen):,} of {len(rows):,} texts, the hardest first; {', '.join(told)}")
    if data_args.train_file is None:
        print("Texts that stand in the training file are not passed over: name it with --train_file.")
