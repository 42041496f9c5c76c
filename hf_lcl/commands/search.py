"""`python -m hf_lcl search`: hyperparameter search, decided on validation texts."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ..data.fingerprint import fingerprint
from ..hub.run_facts import training_settings
from ..support.command_line import command_line
from ..support.extras import load_extra
from ..support.fields import option
from ..training_args import ContrastiveTrainingArguments
from .automatic import choose_settings, choose_work, few_lines, write_settings
from .data import read_data
from .exits import wrong_usage
from .folding import folds_temperature
from .model_arguments import ModelArguments
from .parsing import SETTINGS, given_names, parse_arguments
from .train import ARGUMENTS, make_trainer, naming_file


USAGE = "python -m hf_lcl search FILE [--n_trials 20] [--FLAG VALUE ...]"
DESCRIPTION = """\
Looks for the learning rate, batch size, weight decay and, for a contrastive objective, temperature and alpha that are
best on validation texts, and writes them into a settings file for `train`.

  python -m hf_lcl search tickets.csv --n_trials 20 --output_dir search
  python -m hf_lcl train search/best/settings.yaml

The flags are those of `train`, and so are all other settings, such as epochs. The test part is held out and not used.
The same command, run again, adds as many trials; with other texts or settings, it begins anew. Needs optuna:
pip install "hf_lcl[search]"."""
# What a trial chooses, see `wide_space`.
CHOSEN = ("learning_rate", "per_device_train_batch_size", "weight_decay", "temperature", "alpha")


@dataclass
class SearchArguments:
    """The budget of the search. Every field is a flag, explained by its `help`."""

    _argument_group_name = "the search"

    n_trials: int = option(20, "Number of trials, in addition to those of earlier runs.")
    timeout: float | None = option(None, "Start no trial after this many seconds.")

    def __post_init__(self) -> None:
        if self.n_trials < 1:
            raise ValueError(f"n_trials={self.n_trials} searches nothing: use at least 1.")


def main(argv: list[str]) -> None:
    dataclasses = (*ARGUMENTS, SearchArguments)
    argv = naming_file(argv, dataclasses)
    *arguments, search_args = parse_arguments(dataclasses, argv, usage=USAGE, description=DESCRIPTION)
    model_args, data_args, training_args = arguments
    given = given_names(argv)
    with wrong_usage():
        load_extra("optuna", extra="search")
        if data_args.train_file is None:
            raise ValueError("There is nothing to search with: name a file of texts and labels.")
        if training_args.world_size > 1:
            raise ValueError("A trial runs in one process: leave torchrun out.")
        given |= choose_work(data_args, training_args, given, kind="search")
    data_args.is_automatic, folder = True, Path(training_args.output_dir)
    with few_lines(data_args.is_brief):
        splits, names, tokenizer = read_data(model_args, data_args, training_args)
        given |= choose_settings(training_args, splits, names, model_args.load_config(), given)
        training_args.eval_strategy = IntervalStrategy.EPOCH
        save_strategy, training_args.save_strategy = training_args.save_strategy, SaveStrategy.NO
        trainer = make_trainer(model_args, training_args, splits, names, tokenizer, for_trials=True)
        data_args.fold_temperature = folds_temperature(trainer, data_args)
        folder.mkdir(parents=True, exist_ok=True)
        best: Any = trainer.hyperparameter_search(
            n_trials=search_args.n_trials,
            timeout=search_args.timeout,
            storage=f"sqlite:///{folder / 'search.db'}",
            study_name=study_name(model_args, training_args, splits, names),
            load_if_exists=True,
        )
    training_args.save_strategy, training_args.output_dir = save_strategy, str(folder / "best")
    for name, value in best.hyperparameters.items():
        setattr(training_args, name, value)
    write_settings((model_args, data_args, training_args), given | best.hyperparameters.keys() | {"fold_temperature"})
    print(f"best       {best.objective:.4f} on the validation texts, trial {best.run_id}")
    print(f"settings   {', '.join(f'{name} {value:.3g}' for name, value in best.hyperparameters.items())}")
    print(f"next       {command_line('train', folder / 'best' / SETTINGS)}")


def study_name(
    model_args: ModelArguments, training_args: ContrastiveTrainingArguments, splits: DatasetDict, names: list[str]
) -> str:
    """The objective, and a hash of all else that trials of one study have in common: texts, encoder and settings."""
    shared = {
        "data": {name: fingerprint(splits[name], ("input_ids", "labels")) for name in ("train", "validation")},
        "classes": names,
        "model": model_args.identity(training_args.objective),
        "training": {name: value for name, value in training_settings(training_args).items() if name not in CHOSEN},
    }
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True, default=str).encode()).hexdigest()
    return f"{training_args.objective}-{digest[:16]}"
