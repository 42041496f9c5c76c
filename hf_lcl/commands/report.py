"""`python -m hf_lcl report`: one page about a finished classifier."""

from ..evaluation.calibration import folded_temperature
from ..evaluation.finished import load_finished
from ..evaluation.summary import read_summary
from ..evaluation.thresholds import REMARK, fold_into_folder, fold_line
from ..hub.card import refresh_card
from .data import labelled_texts
from .exits import UsageError
from .model_flags import add_labelled_data, model_folder, model_parser, parse_model_flags


DESCRIPTION = """\
Writes OUTPUT_DIR/report: one page with the results of the classifier in that folder, its most frequent confusions, the
calibration of its probabilities, and plots of all these, also as PNG and CSV. The model card shows the plots.

  python -m hf_lcl report out --test_file test.jsonl --validation_file validation.jsonl

Temperature and thresholds are chosen on the validation file. With --oos_file, the page reports how well out-of-scope
texts are detected; with --train_file, also by the embeddings. `train` writes the same page at its end.
Needs matplotlib: pip install "hf_lcl[plots]"."""


def main(argv: list[str]) -> None:
    parser = model_parser("report", DESCRIPTION, writes_into_folder=True)
    add_labelled_data(parser, "validation_file", "train_file", "oos_file", "fold_thresholds")
    folding = "divide the last layer by the temperature if that lowers the calibration error"
    parser.add_argument("--fold_temperature", action="store_true", help=folding)
    flags, data_args = parse_model_flags(parser, argv)
    if flags.fold_temperature and flags.fold_thresholds:
        raise UsageError(f"--fold_temperature and --fold_thresholds exclude one another: with the latter, {REMARK}.")
    from ..evaluation.report import write_report  # needs matplotlib, which is an extra

    folder = model_folder(flags.model)
    model, tokenizer = load_finished(folder, trust_remote_code=flags.trust_remote_code, may_have_several_labels=True)
    splits = labelled_texts(data_args, model, tokenizer)
    if flags.fold_thresholds is not None:
        validation, goal = splits.get("validation"), flags.fold_thresholds
        print(fold_line(fold_into_folder(folder, model, validation, tokenizer, goal, flags.batch_size)))
    before = folded_temperature(model.native.config)
    page = write_report(
        folder,
        splits["test"],
        splits.get("validation"),
        tokenizer=tokenizer,
        batch_size=flags.batch_size,
        fold=flags.fold_temperature,
        texts=data_args.texts(splits["test"]),
        model=model,
        out_of_scope=splits.get("oos"),
        train=splits.get("train"),
    )
    refresh_card(folder)
    summary = read_summary(folder)
    if flags.fold_temperature and summary is not None:
        found = summary["calibration"]
        done = "folded" if found["folded"] else "not folded, since that does not help"
        if before == found["temperature"]:
            done = "folded before, and another does not help"
        print(
            f"calibration error {found['error_before']:.4f}, with the logits divided by the temperature "
            f"{found['temperature']:.3f} {found['error_after']:.4f}: {done}"
        )
    print(page)
