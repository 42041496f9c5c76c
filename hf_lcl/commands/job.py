"""What every training command does with its data and its trainer: read, train, measure, write down, publish."""

import shlex
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from datasets import DatasetDict
from transformers import EvalPrediction, PreTrainedTokenizerBase
from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.trainer_utils import PredictionOutput
from transformers.utils import logging

from ..evaluation import confused_pairs, per_class_table
from ..support.checkpoints import mark_of, newest_checkpoint, read_state
from ..support.files import locked, open_whole, read_json, refuse_overwriting, write_csv, write_json
from ..support.tables import format_table
from ..trainer import ContrastiveTrainer
from ..training_args import ContrastiveTrainingArguments
from .arguments import DataArguments, ModelArguments
from .exits import own_command, telling_what_is_kept


logger = logging.get_logger(__name__)

# What else is written into output_dir, and must not be a file of texts.
OUTPUTS = (
    *("all_results.json", "train_results.json", "eval_results.json", "predict_results.json", "trainer_state.json"),
    *("predict_results.txt", "per_class.csv", "confused_pairs.csv", "config.json", "report/summary.json"),
)

GO_ON = " --resume_from_checkpoint last"

# In a class name they are written as in Python: a line of predict_results.txt is a row.
LINE_ENDS = {ord(char): repr(char)[1:-1] for char in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"}


def read_data(
    model_args: ModelArguments, data_args: DataArguments, training_args: ContrastiveTrainingArguments
) -> tuple[DatasetDict, list[str], PreTrainedTokenizerBase]:
    """
    From files to tokens, with a table that tells what the data holds.

    Args:
        model_args ([`ModelArguments`]): names the tokenizer.
        data_args ([`DataArguments`]): names the files.
        training_args ([`ContrastiveTrainingArguments`]): `do_train`, `do_eval` and `do_predict` say which splits must
            be there.

    Returns:
        `tuple[DatasetDict, list[str], PreTrainedTokenizerBase]`: tokenised splits, class names by id, the tokenizer.

    Raises:
        ValueError: for data that cannot be read, that lacks a split or a column, or that would be written over; for a
            tracker that is not installed, and an `output_dir` that another process writes into.
    """
    check_reporting(training_args)
    folder = Path(training_args.output_dir)
    for name in OUTPUTS:
        refuse_overwriting(folder / name, data_args.files.values())
    if training_args.process_index == 0 and folder.is_dir():
        with locked(folder):  # before the work of reading
            pass
    wanted = {"train": training_args.do_train, "validation": training_args.do_eval, "test": training_args.do_predict}
    splits, names, tokenizer, summary = data_args.prepare(
        model_args, model_args.load_config(), needed=[split for split, is_wanted in wanted.items() if is_wanted]
    )
    if training_args.process_index == 0:
        print(f"data\n{summary.format()}\n")
    return splits, names, tokenizer


def run_job(trainer: ContrastiveTrainer, splits: DatasetDict, data_args: DataArguments) -> PredictionOutput | None:
    """
    Trains, evaluates and predicts, as `do_train`, `do_eval` and `do_predict` say, and writes all of it into
    `output_dir`: classifier, tokenizer and card, `all_results.json`, `predict_results.txt` and, where the texts have
    labels, `per_class.csv`, `confused_pairs.csv` and (extra `plots`) the report with its pictures.

    Args:
        trainer ([`ContrastiveTrainer`]): with its data sets and `compute_metrics`.
        splits (`DatasetDict`): as from [`read_data`].
        data_args ([`DataArguments`]): what the card says of the data.

    Returns:
        `PredictionOutput`: of the test split with `do_predict`, else of the validation split with `do_eval`.

    Raises:
        ValueError: without any of the three; for a metric that is not measured, and an `output_dir` that another
            process writes into.
    """
    args = trainer.args
    if not (args.do_train or args.do_eval or args.do_predict):
        raise ValueError("There is nothing to do: give --do_train, --do_eval or --do_predict, or several of them.")
    check_best_metric(trainer)
    is_finished = False
    with (
        locked(args.output_dir) if trainer.is_world_process_zero() else nullcontext(),
        telling_what_is_kept(lambda: _what_is_kept(trainer, is_finished)),
    ):
        if args.do_train:
            metrics = trainer.train(resume_from_checkpoint=args.resume_from_checkpoint).metrics
            trainer.save_model()
            is_finished = True
            _keep(trainer, "train", metrics | {"train_samples": len(splits["train"])})
        predicted, split = None, None
        if args.do_eval:
            _keep(trainer, "eval", trainer.evaluate() | {"eval_samples": len(splits["validation"])})
        if args.do_predict:
            predicted, split = trainer.predict(splits["test"], metric_key_prefix="predict"), "test"
            _keep(trainer, "predict", predicted.metrics | {"predict_samples": len(splits["test"])})
        elif args.do_eval:
            predicted, split = trainer.predict(splits["validation"]), "validation"
        if predicted is not None and trainer.is_world_process_zero():
            _write_tables(trainer, predicted)
            if args.do_train and predicted.label_ids is not None:
                _write_report(trainer, splits, split)
        if args.push_to_hub:
            trainer.push_to_hub(**data_args.card_facts(splits))
        elif args.do_train:
            trainer.create_model_card(**data_args.card_facts(splits))
    return predicted


def _what_is_kept(trainer: ContrastiveTrainer, is_finished: bool) -> str:
    """What a run that is stopped leaves on disk, and the command that goes on."""
    folder = trainer.args.output_dir
    if is_finished:
        measure = f"python -m hf_lcl evaluate {shlex.quote(folder)} --test_file FILE"
        return f"The classifier in {folder} is finished; to measure it: {measure}"
    checkpoint, run = newest_checkpoint(folder), mark_of(vars(trainer.state))
    if checkpoint is not None and not run and trainer.args.resume_from_checkpoint not in (None, "", "false", "False"):
        return f"Nothing was trained yet; to go on: {own_command()}"
    if checkpoint is None or mark_of(read_state(checkpoint)) != run:
        return f"No checkpoint had been written yet; to begin anew: {own_command()}"
    # Of two such flags the last one counts: a checkpoint named before is older than this one.
    command = own_command().removesuffix(GO_ON) + GO_ON
    return f"{checkpoint} is whole (of {trainer.state.max_steps} steps); to go on: {command}"


def check_reporting(args: ContrastiveTrainingArguments) -> None:
    """Raises a `ValueError` for a tracker in `report_to` that is unknown or not installed."""
    usable = get_available_reporting_integrations()
    for name in args.report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise ValueError(f"report_to={name!r} is unknown: use none, or one of {known}.")
        if name not in usable:
            raise ValueError(f"report_to={name!r} is not installed: pip install {name}, or leave it out.")


def check_best_metric(trainer: ContrastiveTrainer) -> None:
    """Raises a `ValueError` where `metric_for_best_model` is none that an evaluation gives."""
    args, number = trainer.args, trainer.model.config.num_labels
    name = (args.metric_for_best_model or "loss").removeprefix("eval_")
    known = ["loss", "loss_ce", *["loss_weighting"] * (args.objective == "lcl")]
    if args.is_contrastive:
        known += ["loss_contrastive", "valid_anchors", "positive_similarity", "negative_similarity"]
    if trainer.compute_metrics is not None:  # asked with one right prediction per class
        measured = trainer.compute_metrics(EvalPrediction(np.eye(number, dtype=np.float32), np.arange(number)))
        known += [key.removeprefix("eval_") for key in measured]
    if name not in [*known, "runtime"]:
        raise ValueError(
            f"metric_for_best_model={args.metric_for_best_model!r} is not measured: use one of {', '.join(known)}."
        )


def _keep(trainer: ContrastiveTrainer, split: str, metrics: dict[str, float]) -> None:
    trainer.log_metrics(split, metrics)
    if not trainer.is_world_process_zero():
        return
    folder = Path(trainer.args.output_dir)
    write_json(folder / f"{split}_results.json", metrics)
    everything = folder / "all_results.json"
    before: dict[str, float] = {}
    if split != "train" and everything.is_file():  # another training is another model
        try:
            before = read_json(everything)
        except ValueError as error:
            logger.warning(str(error))
    write_json(everything, before | metrics)


def _write_tables(trainer: ContrastiveTrainer, predicted: PredictionOutput) -> None:
    """Writes the predictions and, where the texts have labels, prints and writes how each class fares."""
    folder, id2label = Path(trainer.args.output_dir), trainer.model.config.id2label
    names = [id2label[index] for index in range(len(id2label))]
    classes = predicted.predictions.argmax(axis=-1)
    with open_whole(folder / "predict_results.txt") as file:
        file.write("index\tprediction\n")
        file.writelines(f"{row}\t{names[index].translate(LINE_ENDS)}\n" for row, index in enumerate(classes))
    if predicted.label_ids is None:
        return
    tables = {
        "per_class": per_class_table(predicted.label_ids, classes, names),
        "confused_pairs": [pair._asdict() for pair in confused_pairs(predicted.label_ids, classes, names, top=5)],
    }
    for title, rows in tables.items():
        if not rows:
            continue
        print(f"\n{title.replace('_', ' ')}\n{format_table(rows)}")
        write_csv(folder / f"{title}.csv", list(rows[0]), (row.values() for row in rows))


def _write_report(trainer: ContrastiveTrainer, splits: DatasetDict, split: str) -> None:
    """The report on the model that was just trained; out of the folder where processes hold shards of it."""
    if find_spec("matplotlib") is None:
        logger.warning('No pictures: matplotlib is not installed. pip install "hf_lcl[plots]"')
        return
    from ..evaluation.report import write_report

    is_sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    page = write_report(
        trainer.args.output_dir,
        splits[split],
        splits.get("validation") if split == "test" else None,
        tokenizer=trainer.processing_class,
        split=split,
        batch_size=trainer.args.per_device_eval_batch_size,
        model=None if is_sharded else trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False),
    )
    print(f"\nreport\n{page}")
