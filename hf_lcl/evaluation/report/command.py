"""From a folder with a finished classifier and a file of test texts to the report on it."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ...arguments import DataArguments
from ...cli import one_line_errors, parse_arguments
from ...data import encode_labels, tokenize_texts
from ...extras import load_extra
from ...hub.model_card import refresh_card
from ..calibration import fold_temperature
from ..inference import run_model
from ..ledger import fingerprint
from ..summary import FOLDER, write_summary
from .loading import is_adapter, load_config, load_model, load_training_model, log_history
from .page import render_page
from .sections import (
    Evaluated,
    calibration_section,
    confusion_section,
    curves_section,
    map_section,
    relations_section,
    results_section,
)


@dataclass
class ReportArguments:
    """
    Which model, and how it is run.

    Args:
        output_dir (`str`): a folder that a Trainer wrote, or any other with a sequence classifier of transformers.
        batch_size (`int`, *optional*, defaults to 32): texts per batch.
        fold_temperature (`bool`, *optional*, defaults to `False`): see [`write_report`].
        trust_remote_code (`bool`, *optional*, defaults to `False`): whether to run code that the folder names.
    """

    output_dir: str = field(metadata={"help": "Folder with a finished classifier; may stand first, without the flag."})
    batch_size: int = field(default=32, metadata={"help": "Texts per batch."})
    fold_temperature: bool = field(
        default=False,
        metadata={"help": "Divide the last layer of the classifier by the temperature of the validation split."},
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "Run code that the model's folder names."})

    def __post_init__(self):
        if not (Path(self.output_dir) / "config.json").is_file():
            raise ValueError(f"output_dir={self.output_dir!r} holds no model (config.json): name a folder that does.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1.")


def main(argv: list[str] | None = None) -> None:
    """
    The command: `OUTPUT_DIR --test_file FILE [--validation_file FILE] [--fold_temperature]`, and the flags of
    `run_classification.py` about columns, labels and lengths.

    Args:
        argv (`list[str]`, *optional*): the command line; defaults to that of this process.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv and not argv[0].startswith("-") and not Path(argv[0]).is_file():  # which would hold the settings
        argv = ["--output_dir", *argv]
    with one_line_errors():
        report_args, data_args = parse_arguments((ReportArguments, DataArguments), argv)
        folder = Path(report_args.output_dir)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=report_args.trust_remote_code)
        splits = _load_splits(folder, data_args, tokenizer, report_args.trust_remote_code)
        page = write_report(
            folder,
            splits["test"],
            splits.get("validation"),
            tokenizer=tokenizer,
            batch_size=report_args.batch_size,
            fold=report_args.fold_temperature,
            trust_remote_code=report_args.trust_remote_code,
        )
        print(page)


def _load_splits(
    folder: Path, data_args: DataArguments, tokenizer: PreTrainedTokenizerBase, trust_remote_code: bool
) -> DatasetDict:
    if data_args.test_file is None and data_args.dataset_name is None:
        raise ValueError("No test split: give --test_file.")
    splits = data_args.load()
    if "test" not in splits:
        raise ValueError(f"No test split: give --test_file. The data has {', '.join(splits)}.")
    splits.pop("train", None)
    columns = data_args.text_columns(splits)
    config = load_config(folder, trust_remote_code)
    label_column = data_args.label_column_name or "label"
    names = [config.id2label[index] for index in range(config.num_labels)]
    for split, dataset in splits.items():
        if label_column not in dataset.column_names:
            raise ValueError(
                f"The {split} split has no label column {label_column!r}; its columns are "
                f"{', '.join(dataset.column_names)}. Name it with --label_column_name."
            )
    splits, _ = encode_labels(splits, label_column, names=names)
    return tokenize_texts(
        splits,
        tokenizer,
        columns,
        delimiter=data_args.text_column_delimiter,
        sentence_pair=data_args.sentence_pair,
        max_length=data_args.max_seq_length,
    )


def write_report(
    output_dir: str | Path,
    test: Dataset,
    validation: Dataset | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int = 32,
    fold: bool = False,
    trust_remote_code: bool = False,
) -> Path:
    """
    Writes `report/` into the folder of a finished model: `index.html` (one page that needs nothing beside it), each
    picture as PNG for light and dark pages, the numbers as CSV, and `summary.json`. None of them holds a text. A card
    that was generated in the folder gets the results and the pictures.

    Any sequence classifier of transformers will do. Training curves need a `trainer_state.json` in the folder or in
    its last `checkpoint-*`; label relations need that checkpoint to be an [`LCLForSequenceClassification`], or the
    folder itself. What is missing is said on the page.

    Args:
        output_dir (`str` or `Path`): the folder.
        test (`datasets.Dataset`): tokenised rows with `labels`, see [`tokenize_texts`] and [`encode_labels`].
        validation (`datasets.Dataset`, *optional*): likewise; the temperature is fitted on it.
        tokenizer (`PreTrainedTokenizerBase`): pads the batches.
        batch_size (`int`, *optional*, defaults to 32): texts per batch.
        fold (`bool`, *optional*, defaults to `False`): whether to divide the last layer of the classifier in the
            folder by the temperature, and save it. The report shows what it was before.
        trust_remote_code (`bool`, *optional*, defaults to `False`): whether to run code that the folder names.

    Returns:
        `Path`: the page.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no model, or `fold` without `validation` or without a standard classifier.

    Example:

    ```python
    >>> from hf_lcl.evaluation.report import write_report

    >>> write_report("runs/feelings", splits["test"], splits["validation"], tokenizer=tokenizer)
    PosixPath('runs/feelings/report/index.html')
    ```
    """
    load_extra("matplotlib", extra="plots")
    output_dir = Path(output_dir)
    if fold and validation is None:
        raise ValueError("A temperature is fitted on a validation split: give --validation_file.")
    model = load_model(output_dir, trust_remote_code)
    if fold and (is_adapter(output_dir) or model.config.weighting != "none"):
        raise ValueError(f"{output_dir} holds no standard classifier that a temperature could be folded into.")
    folder = output_dir / FOLDER
    folder.mkdir(exist_ok=True)
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]

    def evaluated(dataset: Dataset, split: str) -> Evaluated:
        outputs = run_model(model, dataset, tokenizer, batch_size=batch_size, description=split)
        return Evaluated(dataset.with_format("numpy")["labels"][:], outputs, names, folder)

    on_test = evaluated(test, "test")
    on_validation = None if validation is None else evaluated(validation, "validation")
    weighting_logits, remark = on_test.outputs.weighting_logits, ""
    if weighting_logits is None:
        weighting_logits, remark = _weighting_logits(output_dir, test, tokenizer, batch_size)
    results, facts = results_section(on_test)
    calibration, facts["calibration"] = calibration_section(on_test, on_validation)
    facts["calibration"]["folded"] = fold
    sections = [
        results,
        confusion_section(on_test),
        relations_section(on_test, weighting_logits, remark),
        map_section(on_test),
        calibration,
        curves_section(on_test, log_history(output_dir)),
    ]
    identity = fingerprint(test, ("input_ids", "labels"))
    introduction = (
        f"{type(model.native).__name__} with {len(names)} classes, on {len(test):,} test texts (fingerprint of their "
        f"tokens and labels: {identity})."
    )
    page = folder / "index.html"
    page.write_text(render_page(output_dir.absolute().name, introduction, sections, folder), encoding="utf-8")
    if fold:
        fold_temperature(model.native, facts["calibration"]["temperature"])
        model.native.save_pretrained(output_dir)
    facts |= {
        "split": "test",
        "rows": len(test),
        "fingerprints": {"test": identity},
        "pictures": {section.title: f"{FOLDER}/{section.picture}.png" for section in sections if section.picture},
    }
    write_summary(output_dir, facts)
    refresh_card(output_dir)
    return page


def _weighting_logits(
    folder: Path, test: Dataset, tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> tuple[np.ndarray | None, str]:
    """The weighting logits of the training model, or `None` and why there are none."""
    model = load_training_model(folder)
    if model is None:
        return None, (
            "The weighting network is a part of the training model, not of the finished classifier, and the folder "
            "holds no checkpoint-* of that."
        )
    if model.config.weighting == "none":
        return None, "The model was trained without a weighting network (by another objective than lcl)."
    outputs = run_model(model, test, tokenizer, batch_size=batch_size, description="label relations")
    return outputs.weighting_logits, "The weighting network is that of the last checkpoint."
