"""What `train` folds into the last layer of the classifier after training: a temperature, or thresholds."""

from contextlib import suppress

import numpy as np

from ..evaluation.calibration import fit_temperature, fold_temperature
from ..evaluation.thresholds import check_bias, fold_cuts, fold_line
from ..start.last_layer import last_layer
from ..trainer import ContrastiveTrainer
from .arguments import DataArguments
from .exits import wrong_usage


# From this many validation texts on, `train FILE` folds a temperature. See examples/results/temperature.md.
FEWEST_TEXTS = 10
LEAVE_OUT = "write --fold_temperature false."


@wrong_usage()
def check_folding(trainer: ContrastiveTrainer, data_args: DataArguments) -> None:
    """Raises a `UsageError`, before training, if a requested temperature or thresholds cannot be fitted or folded."""
    if data_args.fold_thresholds is not None:
        _check_thresholds(trainer)
    if data_args.fold_temperature:
        _check_temperature(trainer, data_args)


def folds_temperature(trainer: ContrastiveTrainer, data_args: DataArguments) -> bool:
    """Whether to fold a temperature: as requested, else with `train FILE` if it can be fitted to enough texts."""
    if data_args.fold_temperature is not None or not data_args.is_automatic:
        return bool(data_args.fold_temperature)
    with suppress(ValueError):
        _check_temperature(trainer, data_args)
        return len(trainer.eval_dataset) >= FEWEST_TEXTS
    return False


def _check_thresholds(trainer: ContrastiveTrainer) -> None:
    if not trainer.model.config.has_several_labels:
        raise ValueError("fold_thresholds is for several labels per text: this classifier gives each text one class.")
    _check_trainer(trainer, "fold_thresholds")
    check_bias(trainer.unwrapped.native)


def _check_temperature(trainer: ContrastiveTrainer, data_args: DataArguments) -> None:
    if trainer.model.config.has_several_labels:
        raise ValueError(f"fold_temperature is for one label per text, and here a text may have several: {LEAVE_OUT}")
    if data_args.rule is not None:
        raise ValueError(f"out_of_scope folds a temperature of its own: {LEAVE_OUT}")
    _check_trainer(trainer, "fold_temperature")
    last_layer(trainer.unwrapped.native)


def _check_trainer(trainer: ContrastiveTrainer, flag: str) -> None:
    if trainer.eval_dataset is None:
        raise ValueError(f"{flag} chooses on validation texts: give --validation_file or --validation_split.")
    if not trainer.args.do_train:
        raise ValueError(f"{flag} changes the classifier that is trained: give --do_train.")
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise ValueError(f"{flag} needs the whole classifier in one process: leave it out, then run report.")


def fold_thresholds_after_training(trainer: ContrastiveTrainer, goal: str) -> np.ndarray:
    """Folds thresholds into the classifier and saves it again; returns the cuts subtracted from the logits."""
    found = fold_cuts(trainer.unwrapped.native, *_validated(trainer), goal)
    trainer.save_model()
    if trainer.is_world_process_zero():
        print(fold_line(found))
    return found["cuts"]


def fold_temperature_after_training(trainer: ContrastiveTrainer) -> float:
    """Folds a temperature into the classifier and saves it again; returns the number that divides the logits."""
    logits, references = _validated(trainer)
    temperature = fit_temperature(logits, references)
    fold_temperature(trainer.unwrapped.native, temperature)
    trainer.save_model()
    if trainer.is_world_process_zero():
        print(f"temperature {temperature:.3f}, fitted to {len(references):,} validation texts, divides the logits")
    return temperature


def _validated(trainer: ContrastiveTrainer) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of the validation texts."""
    predicted = trainer.predict(trainer.eval_dataset)
    return np.asarray(predicted.predictions), np.asarray(predicted.label_ids)
