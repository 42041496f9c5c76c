"""Finds the complete checkpoints of a folder, the one to resume from, and the run that a checkpoint belongs to."""

import json
import secrets
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, TrainerCallback
from transformers.utils import logging

from .files import check_weights, read_json


logger = logging.get_logger(__name__)

STATE = "trainer_state.json"
# torch.save writes zip archives, whose directory is at the end: a file that was cut short is not a valid archive.
ARCHIVES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "training_args.bin")
# What FSDP and DeepSpeed write instead of one file of weights.
SHARDS = ("pytorch_model_fsdp*", "global_step*")
MARK = "hf_lcl_run"
ENCODER_FIELDS = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")


class RunMark(TrainerCallback):
    """Stores `id`, `started` and `objective` of the run in the Trainer's state, and so in each checkpoint."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Marks a new run; a resumed run keeps the mark of its checkpoint."""
        marks = state.stateful_callbacks
        if state.global_step == 0 or MARK not in marks:
            mark = {"id": secrets.token_hex(8), "started": time.time(), "objective": getattr(args, "objective", None)}
            marks[MARK] = {"args": {}, "attributes": mark}


def mark_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The mark in a Trainer's state; empty if another Trainer trained the model, or none."""
    return (state.get("stateful_callbacks") or {}).get(MARK, {}).get("attributes", {})


def read_state(folder: str | Path) -> dict[str, Any]:
    """The Trainer's state in a folder or checkpoint; empty if it is missing or, with a warning, if it is cut short."""
    path = Path(folder) / STATE
    try:
        return read_json(path) if path.is_file() else {}
    except ValueError as error:
        logger.warning(str(error))
        return {}


def fault_of(checkpoint: str | Path) -> str | None:
    """What is wrong with a checkpoint, worded to follow its name in a message; `None` if it is complete."""
    checkpoint = Path(checkpoint)
    is_sharded = any(any(checkpoint.glob(pattern)) for pattern in SHARDS)
    needed = [STATE] if is_sharded else [STATE, "config.json", "training_args.bin", "*.safetensors"]
    missing = [pattern for pattern in needed if not any(checkpoint.glob(pattern))]
    if missing:
        return f"is no whole checkpoint of a training: it lacks {', '.join(missing)}"
    try:
        for path in checkpoint.glob("*.json"):
            read_json(path)
        check_weights(checkpoint)
    except ValueError as error:
        return f"is not whole: {str(error).rstrip('.')}"
    indices = checkpoint.glob("*.safetensors.index.json")
    shards = {shard for index in indices for shard in read_json(index)["weight_map"].values()}
    faults = [f"{shard} is missing" for shard in sorted(shards) if not (checkpoint / shard).is_file()]
    archives = [path for pattern in ARCHIVES for path in checkpoint.glob(pattern)]
    faults += [f"{path} is cut short" for path in archives if not zipfile.is_zipfile(path)]
    return f"is not whole: {', '.join(faults)}" if faults else None


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints of a folder, complete or not, newest first: sorted by the start of their run, then by step."""
    steps = {path: path.name.removeprefix("checkpoint-") for path in Path(folder).glob("checkpoint-*")}

    def age(path: Path) -> tuple[float, int]:
        try:
            mark = mark_of(json.loads((path / STATE).read_bytes()))
        except (OSError, ValueError):
            mark = {"started": path.stat().st_mtime}  # cut while it was written
        return mark.get("started", 0.0), int(steps[path])

    return sorted((path for path, step in steps.items() if step.isdigit()), key=age, reverse=True)


def newest_checkpoint(folder: str | Path) -> Path | None:
    """The newest complete checkpoint of a folder; logs a warning for each newer one that is incomplete."""
    for checkpoint in checkpoints(folder):
        fault = fault_of(checkpoint)
        if fault is None:
            return checkpoint
        logger.warning(f"Passed over: {checkpoint} {fault}.")
    return None


def checkpoint_of(folder: str | Path) -> Path | None:
    """The newest complete checkpoint of the run that trained the model in a folder; never one of another run."""
    run = mark_of(read_state(folder)).get("id")
    whole = (checkpoint for checkpoint in checkpoints(folder) if fault_of(checkpoint) is None)
    return next((checkpoint for checkpoint in whole if mark_of(read_state(checkpoint)).get("id") == run), None)


def resume_point(resume: bool | str | None, output_dir: str | Path) -> str | None:
    """
    The checkpoint to resume from: the given one, or with `True`, `"true"` or `"last"` the newest complete one in
    `output_dir`. If there is none there, logs a warning and returns `None`: the run starts from scratch. Raises a
    `ValueError` if the given checkpoint is incomplete.
    """
    if resume in (None, False, "", "false", "False"):
        return None
    if resume in (True, "true", "True", "last"):
        newest = newest_checkpoint(output_dir)
        if newest is None:
            logger.warning(f"{output_dir} holds no whole checkpoint: training begins anew.")
            return None
        logger.warning(f"Training goes on from {newest}.")
        return str(newest)
    resume = str(resume)
    fault = fault_of(resume)
    if fault is None:
        return resume
    inside = checkpoints(resume)
    use = inside[0] if inside else "checkpoint-N of the output folder"
    raise ValueError(f"resume_from_checkpoint={resume!r} {fault}: use {use}, or `last`.")


def resumed_from(resume: bool | str | None, model: Any, args: Any) -> str | None:
    """
    The [`resume_point`] of a run, if [`check_checkpoint`] finds that `model` can be resumed from it. The Trainer loads
    only weights: what was done before the first step is copied into the configuration of `model`.
    """
    checkpoint = resume_point(resume, args.output_dir)
    if checkpoint is not None:
        model.config.start = check_checkpoint(checkpoint, model.config, args.objective).get("start")
    return checkpoint


def check_checkpoint(checkpoint: str | Path, config: PreTrainedConfig, objective: str) -> dict[str, Any]:
    """
    The configuration in a checkpoint; empty if it holds only FSDP or DeepSpeed shards, which their library checks.
    Raises a `ValueError` if a run cannot resume from it: its model has other classes, another weighting network,
    another encoder or another number of labels per text than `config`, or was trained with another objective.
    """
    if not (Path(checkpoint) / "config.json").is_file():
        return {}
    saved = read_json(Path(checkpoint) / "config.json")
    saved_objective = mark_of(read_state(checkpoint)).get("objective", objective)
    here = _what_must_agree(config.to_dict(), objective)
    for what, value in _what_must_agree(saved, saved_objective).items():
        if value != here.get(what):
            raise ValueError(
                f"{checkpoint} cannot be resumed: its {what} is {value!r}, that of this run {here.get(what)!r}. Give "
                "the settings and the data that it was trained with, or begin anew in another output_dir."
            )
    return saved


def _what_must_agree(config: dict[str, Any], objective: str) -> dict[str, Any]:
    names = {int(index): name for index, name in (config.get("id2label") or {}).items()}
    encoder = config.get("text_config") or {}
    return {
        "model_type": config.get("model_type"),
        "objective": objective,
        "weighting": config.get("weighting"),
        "number of labels per text": "any" if config.get("problem_type") == "multi_label_classification" else "one",
        "number of classes": len(names),
        **{f"class {index}": name for index, name in names.items()},
        **{f"encoder's {field}": encoder[field] for field in ENCODER_FIELDS if field in encoder},
    }
