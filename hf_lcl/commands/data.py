"""Reads files into the inputs of a trainer or a finished model: class ids and tokens."""

from collections.abc import Iterable, Sequence
from itertools import chain, compress
from pathlib import Path

from datasets import DatasetDict
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.utils import logging

from ..data import drop_conflicts, encode_labels, summarize, tokenize_texts
from ..data.cells import lacks, listed
from ..data.holding_out import hold_out
from ..data.loading import LINE
from ..data.several_labels import read_written_lists
from ..data.summary import DataSummary
from ..model.classes import class_names, known_classes, spelled_names
from ..model.configuration import SEVERAL
from ..model.modeling import LCLForSequenceClassification
from ..support.files import refuse_overwriting
from ..training_args import ContrastiveTrainingArguments
from .arguments import LIMITS, DataArguments, without
from .closing import PREDICTIONS
from .exits import wrong_usage
from .model_arguments import ModelArguments
from .parsing import SETTINGS


logger = logging.get_logger(__name__)


# Files written to output_dir: no input file may be one of them.
OUTPUTS = (
    *("all_results.json", "train_results.json", "eval_results.json", "predict_results.json", "trainer_state.json"),
    *("predict_results.txt", PREDICTIONS, "per_class.csv", "confused_pairs.csv", SETTINGS),
    *("config.json", "report/summary.json"),
)


def read_data(
    model_args: ModelArguments, data_args: DataArguments, training_args: ContrastiveTrainingArguments
) -> tuple[DatasetDict, list[str], PreTrainedTokenizerBase]:
    """
    Reads and tokenises the splits, and prints a table of the data. Returns the splits, the class names by id (those of
    the model without a training split) and the tokenizer. `do_train`, `do_eval` and `do_predict` determine the
    required splits.

    Raises:
        ValueError: if the model or the data cannot be read, if the data lacks a split or a column or would be
            overwritten, or if a tracker is unknown or not installed.
    """
    with wrong_usage():
        known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
        for name in set(training_args.report_to or ()) - {*get_available_reporting_integrations()}:
            fault = f"is not installed: pip install {name}, or" if name in INTEGRATION_TO_CALLBACK else "is unknown:"
            raise ValueError(f"--report_to {name} {fault} use none, or one of {known}.")
        for name in OUTPUTS:
            refuse_overwriting(Path(training_args.output_dir) / name, [*data_args.files.values(), data_args.oos_file])
        wanted = (training_args.do_train, training_args.do_eval, training_args.do_predict)
        needed = list(compress(LIMITS, wanted))
        if not needed:
            raise ValueError("There is nothing to do: give --do_train, --do_eval or --do_predict, or several of them.")
        config = model_args.load_config()
        data_args.encoder_facts = model_args.card_facts()
    splits = data_args.load(needed, cache_dir=model_args.cache_dir, token=model_args.token)
    tokenizer = AutoTokenizer.from_pretrained(
        model_args.tokenizer_name or model_args.model_name_or_path,
        use_fast=model_args.use_fast_tokenizer,
        **model_args.hub_arguments,
    )
    labelled = [split for split in needed if split != "test"]
    names = None if "train" in splits else class_names(config)
    several = True if names is not None and config.problem_type == SEVERAL else None
    splits, names, summary = _encode(data_args, splits, tokenizer, labelled, names, several)
    if training_args.process_index == 0:
        print(summary.brief() if data_args.is_brief else f"data\n{summary.format()}\n")
    return splits, names, tokenizer


def labelled_texts(
    data_args: DataArguments,
    model: LCLForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    needed: str = "test",
    *,
    also: Sequence[str] = (),
) -> DatasetDict:
    """
    The available splits as inputs of a finished model: tokenised rows with `labels`, except those of `oos_file`, which
    have none. The training split is included only if `train_file` is given. Labels may be ids if the class names of
    the model are the defaults of transformers (`LABEL_0`, ...). Labels in `also` that the model lacks get the next
    ids.

    Raises:
        ValueError: if the data cannot be read, lacks a column or the split `needed`, or has unknown labels.
    """
    several = model.config.has_several_labels
    splits = data_args.load([needed], may_lack_labels=several)
    if data_args.train_file is None:
        splits.pop("train", None)
    first = splits[needed] = read_written_lists(splits[needed], data_args.label_column)
    names = class_names(model.config)
    if data_args.label_columns and (absent := [name for name in names if name not in data_args.label_columns]):
        raise ValueError(
            f"label_columns lacks {listed(absent)}, which the model gives too: add a column of 0 and 1 for each."
        )
    labels = data_args.label_columns or []
    if data_args.label_column in first.column_names and not labels:
        labels = first[data_args.label_column][:]
    if labels and isinstance(labels[0], list):
        labels = [*chain.from_iterable(labels)]
    known = known_classes(names)
    names = [*spelled_names(names[:known], labels), *names[known:]]
    names += [name for name in also if name not in names]
    labelled = [split for split in splits if split != "oos"]
    splits, _, summary = _encode(data_args, splits, tokenizer, labelled, names, several)
    for split, found in summary.splits.items():
        if found.truncated:
            logger.warning(
                f"{found.truncated:,} texts of the {split} split have more tokens than --max_seq_length, and are cut."
            )
    return splits


def _encode(
    data_args: DataArguments,
    splits: DatasetDict,
    tokenizer: PreTrainedTokenizerBase,
    labelled: Iterable[str],
    names: list[str] | None,
    several: bool | None,
) -> tuple[DatasetDict, list[str], DataSummary]:
    """Encodes labels as class ids (by default of the classes of the training split), and tokenises texts."""
    text_columns, dropped = data_args.text_columns, data_args.dropped
    if names is None:
        _check_labels(data_args, splits, ["train"], data_args.label_column)
    try:
        splits, names = encode_labels(splits, data_args.label_column, names=names, several=several)
        if data_args.drop_conflicts and "train" in labelled:
            splits, dropped["train"]["several labels"] = drop_conflicts(splits, text_columns)
        if data_args.shares and "train" in splits:
            splits = hold_out(splits, data_args.shares, text_columns)
    except ValueError as error:
        cut = dropped["train"]["max_train_samples"]
        more = f" (--max_train_samples {data_args.max_train_samples} left {cut:,} rows of the train split out.)"
        raise ValueError(f"{error}{more if cut else ''}") from error
    _check_labels(data_args, splits, labelled, "labels")
    splits = tokenize_texts(
        splits,
        tokenizer,
        text_columns,
        delimiter=data_args.text_column_delimiter,
        sentence_pair=data_args.sentence_pair,
        max_length=data_args.max_seq_length,
        padding="max_length" if data_args.pad_to_max_length else False,
        return_length=True,
        view_column=data_args.view_column,
        num_proc=data_args.preprocessing_num_workers,
        load_from_cache_file=not data_args.overwrite_cache,
    )
    summary = summarize(splits, names, text_columns, dropped=dropped)
    return without(splits, "length", LINE), names, summary


def _check_labels(data_args: DataArguments, splits: DatasetDict, labelled: Iterable[str], column: str) -> None:
    """Raises a `ValueError` if a split has no label column; the message lists the columns of its file."""
    for split in labelled:
        if column in splits[split].column_names:
            continue
        path, name = data_args.files.get(split), data_args.label_column
        columns = splits[split].column_names if path is None else data_args.reader.columns(path, split)
        if name in columns or data_args.label_columns:
            raise ValueError(f"The {split} split has no labels: column {name!r} is empty or -1 throughout.")
        remedy = "Name it with --label_column_name."
        raise ValueError(lacks(f"The {split} split", "label column", name, columns, remedy))
