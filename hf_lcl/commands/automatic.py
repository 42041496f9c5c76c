"""What `train`, `search` and `compare` choose and print where no flag is given: encoder, columns, parts, recipe."""

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml
from datasets import DatasetDict, are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import PreTrainedConfig
from transformers.trainer_utils import SaveStrategy
from transformers.utils import logging

from ..data.holding_out import test_share
from ..support.files import write_whole
from ..training.recipe import choose_recipe
from ..training_args import ContrastiveTrainingArguments
from .arguments import DataArguments
from .columns import set_columns
from .exits import wrong_usage
from .model_arguments import ModelArguments
from .parsing import SETTINGS


VALIDATION_SHARE = 0.1
_ROLES = {"validation": "validation", "test": "the test"}
WORK = ("do_train", "do_eval", "do_predict")
NOT_REPEATED = ("token", "hub_token", "resume_from_checkpoint")


@contextmanager
def few_lines(is_brief: bool) -> Iterator[None]:
    """Hides transformers' warnings (such as that of a new head) and the short progress bars of `datasets`."""
    verbosity, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    if is_brief:
        logging.set_verbosity_error()
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()


def is_left_to_us(data_args: DataArguments, given: set[str]) -> bool:
    """Whether the flags in `given` name a file to train on but no work, so that the rest is chosen here."""
    return data_args.train_file is not None and not given & {*WORK}


@wrong_usage()
def choose_work(
    data_args: DataArguments,
    training_args: ContrastiveTrainingArguments,
    given: Collection[str],
    kind: str = "classifier",
) -> set[str]:
    """
    Completes the arguments of `train FILE`: text and label columns, held-out parts, what to run and the output folder
    (`FILE_kind`). Prints its choices and returns the names of these arguments; those in `given` are unchanged. Raises
    a `UsageError` if the columns cannot be determined.
    """
    path = str(data_args.train_file)
    reasons, num_rows = set_columns(data_args, path)
    _say(*reasons)
    if data_args.validation_file is None and data_args.validation_split is None:
        data_args.validation_split = VALIDATION_SHARE
    if data_args.test_file is None and data_args.test_split is None:
        data_args.test_split = test_share(num_rows)
    shares = [f"{share:.0%} of the rows for {_ROLES[split]}" for split, share in data_args.shares.items()]
    if shares:
        _say(f"held out: {', '.join(shares)}; equal texts stay on one side; --validation_split, --test_split override")
    for name in WORK:
        setattr(training_args, name, True)
    if "output_dir" not in given:
        training_args.output_dir = f"{Path(path).name.partition('.')[0]}_{kind}"
    _say(f"output folder: {training_args.output_dir}; --output_dir overrides")
    return {"text_column_names", "label_column_name", "validation_split", "test_split", "output_dir", *WORK}


def choose_settings(
    training_args: ContrastiveTrainingArguments,
    splits: DatasetDict,
    names: list[str],
    config: PreTrainedConfig,
    given: Collection[str],
) -> set[str]:
    """Sets the arguments of the recipe that are not in `given`, prints them, and returns the names of all."""
    recipe = choose_recipe(len(splits["train"]), len(names), config.get_text_config().hidden_size)
    for name, (value, reason) in recipe.items():
        if name not in given:
            setattr(training_args, name, value)
            _say(f"{name} {value:g}: {reason}; --{name} overrides")
    quiet = {"save_strategy": SaveStrategy.EPOCH, "save_total_limit": 1}
    quiet["dataloader_pin_memory"] = torch.cuda.is_available()
    for name in quiet.keys() - given:
        setattr(training_args, name, quiet[name])
    return {*recipe, *quiet}


def write_settings(
    arguments: tuple[ModelArguments, DataArguments, ContrastiveTrainingArguments], names: Collection[str]
) -> None:
    """
    Writes the arguments in `names`, given or chosen, to `settings.yaml` in the output folder. `train settings.yaml`
    repeats the run, and the other commands read texts with these settings.
    """
    model_args, data_args, training_args = arguments
    values = {
        name: value
        for name, value in (vars(model_args) | vars(data_args) | training_args.to_dict()).items()
        if name in names and name not in NOT_REPEATED and value is not None
    }
    write_whole(Path(training_args.output_dir) / SETTINGS, yaml.safe_dump(values, allow_unicode=True, sort_keys=True))


def _say(*lines: str) -> None:
    for line in lines if os.environ.get("RANK", "0") == "0" else ():  # only rank 0 prints
        print(line, file=sys.stderr)
