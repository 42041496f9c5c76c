"""`python -m hf_lcl evaluate`: measures a finished classifier on labelled texts."""

from pathlib import Path

import numpy as np
from transformers import EvalPrediction, PreTrainedConfig

from ..data.fingerprint import fingerprint
from ..evaluation import classification_metrics, confused_pairs, expected_calibration_error, per_class_table
from ..evaluation.decisions import decided
from ..evaluation.finished import load_finished
from ..evaluation.inference import run_model
from ..evaluation.thresholds import unfolded
from ..model.classes import class_names
from ..support.files import refuse_overwriting, write_json
from ..support.tables import format_table
from .data import labelled_texts
from .exits import wrong_usage
from .model_flags import add_labelled_data, model_parser, parse_model_flags


DESCRIPTION = """\
Measures a finished classifier on labelled texts: accuracy, macro and weighted F1, expected calibration error, the
results per class, and the most frequent confusions.

  python -m hf_lcl evaluate out --test_file test.jsonl

Any sequence classifier of transformers works, in a folder or on the Hub, also one trained elsewhere. `report` plots
these results."""
# Files of a model in a folder, which must not be overwritten.
MODEL_FILES = ("config.json", "*.safetensors*", "*token*.json", "vocab*", "merges.txt", "README.md")


def main(argv: list[str]) -> None:
    parser = model_parser("evaluate", DESCRIPTION)
    add_labelled_data(parser)
    parser.add_argument("--output_file", type=Path, help="a JSON file for all of it")
    flags, data_args = parse_model_flags(parser, argv)
    model_files = [path for pattern in MODEL_FILES for path in Path(flags.model).glob(pattern)]
    with wrong_usage():
        refuse_overwriting(flags.output_file, [data_args.test_file, *model_files])
    options = {"trust_remote_code": flags.trust_remote_code, "revision": flags.revision}
    model, tokenizer = load_finished(flags.model, may_have_several_labels=True, **options)
    test, names = labelled_texts(data_args, model, tokenizer)["test"], class_names(model.config)
    logits = run_model(model, test, tokenizer, batch_size=flags.batch_size, description="test").logits
    references, predicted = np.asarray(test["labels"]), decided(logits, model.config.has_several_labels)
    metrics = {"samples": len(test), **measure(logits, references, model.native.config)}
    per_class = per_class_table(references, predicted, names)
    pairs = [pair._asdict() for pair in confused_pairs(references, predicted, names, top=10)]
    for title, rows in (("results", [metrics]), ("per class", per_class), ("most often confused", pairs)):
        if rows:
            print(f"{title}\n{format_table(rows)}\n")
    if flags.output_file is not None:
        found = {"fingerprint": fingerprint(test, ("input_ids", "labels")), "per_class": per_class}
        write_json(flags.output_file, metrics | found | {"confused_pairs": pairs})


def measure(logits: np.ndarray, references: np.ndarray, config: PreTrainedConfig) -> dict[str, float]:
    """
    F1, accuracy and calibration error of logits `(rows, num_labels)`, given class ids `(rows,)` or rows of 0 and 1. If
    thresholds are folded into the classifier, the calibration error is that of the probabilities before folding.
    """
    metrics = classification_metrics(EvalPrediction(logits, references))
    error = expected_calibration_error(unfolded(logits, config), references)
    return metrics | {"calibration_error": error}
