"""What every training command does with its trainer: train, evaluate, write the results, publish."""

from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from datasets import DatasetDict
from transformers import EvalPrediction, ProgressCallback
from transformers.trainer_utils import PredictionOutput
from transformers.utils import logging

from ..evaluation import confused_pairs, per_class_table
from ..evaluation.decisions import decided, label_text
from ..evaluation.summary import FOLDER
from ..hub.publisher import Push
from ..model.classes import OUT_OF_SCOPE, class_names
from ..support.checkpoints import mark_of, newest_checkpoint, read_state
from ..support.command_line import command_line
from ..support.files import locked, open_whole, read_json, write_csv, write_json
from ..support.tables import format_table
from ..trainer import ContrastiveTrainer
from .arguments import DataArguments
from .closing import (
    PREDICTIONS,
    TABLES,
    LossInBar,
    closing_lines,
    label_check,
    summary_lines,
    write_predictions,
)
from .exits import own_command, telling_what_is_kept, wrong_usage
from .folding import (
    check_folding,
    fold_temperature_after_training,
    fold_thresholds_after_training,
    folds_temperature,
)
from .scope import add_scope, check_scope, load_trained


logger = logging.get_logger(__name__)

RESUME = " --resume_from_checkpoint last"
# Escaped in class names, so that each row of predict_results.txt is one line.
LINE_ENDS = {ord(char): repr(char)[1:-1] for char in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"}


def run_job(
    trainer: ContrastiveTrainer,
    splits: DatasetDict,
    data_args: DataArguments,
    when_trained: Callable[[], None] = lambda: None,
) -> PredictionOutput | None:
    """
    Trains, evaluates and predicts according to `do_train`, `do_eval` and `do_predict`, and writes to `output_dir`:
    classifier, tokenizer and card, `all_results.json`, `predict_results.txt` and, if the texts have labels,
    `predictions.csv`, `per_class.csv`, `confused_pairs.csv` and (extra `plots`) the report with its plots. `splits`
    are those of [`data.read_data`]. `when_trained` is called when the classifier is finished, before it is measured.

    Returns:
        `PredictionOutput`: of the test split with `do_predict`, else of the validation split with `do_eval`.

    Raises:
        ValueError: if `metric_for_best_model` is not measured, or if another process writes into `output_dir`.
    """
    args = trainer.args
    check_best_metric(trainer)
    check_scope(trainer, splits, data_args)
    check_folding(trainer, data_args)
    data_args.fold_temperature = folds_temperature(trainer, data_args)
    is_finished, is_brief, widen, cuts, temperature = False, data_args.is_brief, None, None, None
    if is_brief and trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(LossInBar())
    with (
        locked(args.output_dir) if trainer.is_world_process_zero() else nullcontext(),
        telling_what_is_kept(lambda: _what_is_kept(trainer, is_finished)),
    ):
        lines = label_check(trainer, data_args) if data_args.is_automatic and data_args.audit else []
        if args.do_train:
            metrics = trainer.train(resume_from_checkpoint=args.resume_from_checkpoint).metrics
            trainer.save_model()
            widen = add_scope(trainer, splits, data_args)
            if data_args.fold_thresholds is not None:
                cuts = fold_thresholds_after_training(trainer, data_args.fold_thresholds)
            if data_args.fold_temperature:
                temperature = fold_temperature_after_training(trainer)
            is_finished = True
            when_trained()
            _keep(trainer, "train", metrics | {"train_samples": len(splits["train"])}, is_brief)
        predicted, split = None, "test" if args.do_predict else "validation"
        if args.do_eval:
            _keep(trainer, "eval", trainer.evaluate() | {"eval_samples": len(splits["validation"])}, is_brief)
        if args.do_predict:
            predicted = trainer.predict(splits["test"], metric_key_prefix="predict")
            _keep(trainer, "predict", (predicted.metrics or {}) | {"predict_samples": len(splits["test"])}, is_brief)
        elif args.do_eval:
            predicted = trainer.predict(splits["validation"])
        judged: Any = predicted
        if predicted is not None and predicted.label_ids is None and args.do_eval:
            judged, split = trainer.predict(splits["validation"]), "validation"
        names = class_names(trainer.model.config)
        if widen is not None:
            names = [*names, OUT_OF_SCOPE]
            predicted, judged = (
                found and found._replace(predictions=widen(np.asarray(found.predictions)))
                for found in (predicted, judged)
            )
        if predicted is not None and trainer.is_world_process_zero():
            folder, logits = Path(args.output_dir), np.asarray(judged.predictions)
            _write_answers(trainer, np.asarray(predicted.predictions), names)
            told = closing_lines(folder)
            if judged.label_ids is not None:
                texts, labels = data_args.texts(splits[split]), np.asarray(judged.label_ids)
                _write_tables(trainer, texts, logits, labels, names, is_brief)
                if args.do_train:
                    _write_report(trainer, splits, split, texts, widen is not None)
                    told = summary_lines(folder, split, logits, labels, names, cuts, temperature)
            elif args.do_train:
                _remove_tables(folder)
            if args.do_train:
                print("", *told, *lines, sep="\n")
        if args.push_to_hub and data_args.rule is None:
            trainer.push_to_hub(**data_args.card_facts(splits))
        elif args.push_to_hub or args.do_train:
            trainer.create_model_card(**data_args.card_facts(splits))
            if args.push_to_hub and trainer.is_world_process_zero():
                trainer.publisher.publish(Push())  # as it is: `push_to_hub` would overwrite the classifier
    return predicted


def _what_is_kept(trainer: ContrastiveTrainer, is_finished: bool) -> str:
    """A message on what a stopped run leaves on disk, and the command that resumes it."""
    folder = trainer.args.output_dir
    checkpoint, run = newest_checkpoint(folder), mark_of(vars(trainer.state))
    # The last of repeated flags counts, so that this one overrides the flag of an older checkpoint.
    resume = own_command().removesuffix(RESUME) + RESUME
    if is_finished and checkpoint is not None and mark_of(read_state(checkpoint)) == run:
        return f"The classifier in {folder} is finished; for what was left out, without training: {resume}"
    if is_finished:
        measure = command_line("evaluate", folder, "--test_file", "FILE")
        return f"The classifier in {folder} is finished; to measure it: {measure}"
    if checkpoint is not None and not run and trainer.args.resume_from_checkpoint not in (None, "", "false", "False"):
        return f"Nothing was trained yet; to go on: {own_command()}"
    if checkpoint is None or mark_of(read_state(checkpoint)) != run:
        return f"No checkpoint had been written yet; to begin anew: {own_command()}"
    return f"{checkpoint} is whole (of {trainer.state.max_steps} steps); to go on: {resume}"


@wrong_usage()
def check_best_metric(trainer: ContrastiveTrainer) -> None:
    """Raises a `UsageError` if `metric_for_best_model` is not a metric of the evaluation."""
    args, number = trainer.args, len(class_names(trainer.model.config))
    known = ["loss", "loss_ce", *["loss_weighting"] * (args.objective == "lcl")]
    if args.is_contrastive:
        known += ["loss_contrastive", "valid_anchors", "positives_per_anchor", "candidates_per_anchor"]
        known += ["positive_similarity", "negative_similarity"]
    if trainer.compute_metrics is not None:  # its keys, given one right prediction per class
        right = np.eye(number) if trainer.model.config.has_several_labels else np.arange(number)
        measured = trainer.compute_metrics(EvalPrediction(np.eye(number, dtype=np.float32), right))
        known += [key.removeprefix("eval_") for key in measured]
    if (args.metric_for_best_model or "loss").removeprefix("eval_") not in known:
        raise ValueError(
            f"metric_for_best_model={args.metric_for_best_model!r} is not measured: use one of {', '.join(known)}."
        )


def _keep(trainer: ContrastiveTrainer, split: str, metrics: dict[str, float], is_brief: bool) -> None:
    if not is_brief:
        trainer.log_metrics(split, metrics)
    if not trainer.is_world_process_zero():
        return
    folder = Path(trainer.args.output_dir)
    write_json(folder / f"{split}_results.json", metrics)
    everything = folder / "all_results.json"
    if split != "train" and everything.is_file():  # training starts a new file
        try:
            metrics = read_json(everything) | metrics
        except ValueError as error:
            logger.warning(str(error))
    write_json(everything, metrics)


def _write_answers(trainer: ContrastiveTrainer, logits: np.ndarray, names: list[str]) -> None:
    """Writes the predicted classes as transformers' example scripts do."""
    with open_whole(Path(trainer.args.output_dir) / "predict_results.txt") as file:
        file.write("index\tprediction\n")
        classes = decided(logits, trainer.model.config.has_several_labels)
        found = (label_text(index, names).translate(LINE_ENDS) for index in classes)
        file.writelines(f"{row}\t{name}\n" for row, name in enumerate(found))


def _write_tables(
    trainer: ContrastiveTrainer,
    texts: list[str],
    logits: np.ndarray,
    labels: np.ndarray,
    names: list[str],
    is_brief: bool,
) -> None:
    """Writes the predictions of labelled texts, and writes and prints metrics per class and confusions."""
    folder = Path(trainer.args.output_dir)
    classes = decided(logits, trainer.model.config.has_several_labels)
    write_predictions(folder, texts, logits, labels, names)
    pairs = [pair._asdict() for pair in confused_pairs(labels, classes, names, top=5)]
    for name, rows in zip(TABLES, (per_class_table(labels, classes, names), pairs)):
        (folder / name).unlink(missing_ok=True)
        if rows:
            if not is_brief:
                print(f"\n{Path(name).stem.replace('_', ' ')}\n{format_table(rows)}")
            write_csv(folder / name, list(rows[0]), (row.values() for row in rows))


def _remove_tables(folder: Path) -> None:
    """Removes what an earlier run wrote about labelled texts."""
    for name in (*TABLES, PREDICTIONS):
        (folder / name).unlink(missing_ok=True)
    rmtree(folder / FOLDER, ignore_errors=True)


def _write_report(
    trainer: ContrastiveTrainer, splits: DatasetDict, split: str, texts: list[str], has_scope: bool
) -> None:
    """
    Writes the report on the trained model. The model is loaded from `output_dir` if the processes hold shards of it,
    or if the saved classifier has an additional class `out_of_scope`.
    """
    if find_spec("matplotlib") is None:
        logger.warning('No pictures: matplotlib is not installed. pip install "hf_lcl[plots]"')
        return
    from ..evaluation.report import write_report

    is_elsewhere = has_scope or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    write_report(
        trainer.args.output_dir,
        splits[split],
        splits.get("validation") if split == "test" else None,
        tokenizer=trainer.processing_class,
        split=split,
        batch_size=trainer.args.per_device_eval_batch_size,
        out_of_scope=splits.get("oos"),
        train=splits.get("train"),
        texts=texts,
        model=load_trained(trainer)[0] if is_elsewhere else trainer.unwrapped,
    )
