"""`python -m hf_lcl calibrate`: adds a class for out-of-scope texts to a finished classifier."""

from pathlib import Path

from ..evaluation.finished import load_finished
from ..hub.card import refresh_card
from ..hub.export import save_sequence_classifier
from ..hub.out_of_scope import add_out_of_scope, check_folder, check_out_of_scope, describe, remove_out_of_scope
from ..model.classes import OUT_OF_SCOPE, class_names
from ..support.command_line import command_line
from .data import labelled_texts
from .exits import UsageError, wrong_usage
from .model_flags import add_data_flags, model_parser, parse_model_flags


DESCRIPTION = """\
Adds a class out_of_scope, for texts of none of its classes, to the classifier in OUTPUT_DIR, which stays an ordinary
classifier of transformers. Its probabilities are calibrated first (temperature scaling).

  python -m hf_lcl calibrate out --validation_file validation.csv --out_of_scope keep=0.95
  python -m hf_lcl calibrate out --validation_file validation.csv --out_of_scope f1 --oos_file oos.csv
  python -m hf_lcl calibrate out --out_of_scope none      # undo

  keep=0.95     95 % of the validation texts are not predicted as out_of_scope
  recall=0.9    90 % of the texts in --oos_file are; f1: the best F1 of the class out_of_scope on both files

The validation texts must not be training texts. Rows labelled out_of_scope count as texts of --oos_file."""


def main(argv: list[str]) -> None:
    parser = model_parser("calibrate", DESCRIPTION, writes_into_folder=True)
    add_data_flags(
        parser, "the texts and their labels", "validation_file", "label_column_name", "out_of_scope", "oos_file"
    )
    flags, data_args = parse_model_flags(parser, argv)
    folder = Path(flags.model)
    if data_args.out_of_scope is None:
        raise UsageError("There is nothing to do: give --out_of_scope keep=0.95, recall=0.9, f1 or none.")
    with wrong_usage():
        check_folder(folder)
    model, tokenizer = load_finished(folder, trust_remote_code=flags.trust_remote_code)
    was_there = remove_out_of_scope(model)
    if data_args.rule is None:
        if not was_there:
            raise ValueError(f"{folder} has no class {OUT_OF_SCOPE} that calibrate gave it: it is as it was.")
        save_sequence_classifier(model, folder)
        refresh_card(folder)
        print(f"{folder} has its {len(class_names(model.config))} classes again, and no {OUT_OF_SCOPE}.")
        return
    check_out_of_scope(model.native)
    if data_args.validation_file is None:
        raise UsageError("The cut is chosen on labelled texts that were not trained on: give --validation_file.")
    splits = labelled_texts(data_args, model, tokenizer, "validation", also=[OUT_OF_SCOPE])
    validation, foreign = splits["validation"], splits.get("oos")
    facts = add_out_of_scope(
        folder, model, tokenizer, data_args.rule, validation, foreign, batch_size=flags.batch_size
    )
    print(describe(facts))
    print(f"To measure it: {command_line('report', folder, '--test_file', 'FILE')}")
