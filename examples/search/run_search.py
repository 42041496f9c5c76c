#!/usr/bin/env python
"""
Searches for settings of `run_classification.py` that are best by a validation metric:

    python examples/search/run_search.py --space wide --n_trials 30 \
        --model_name_or_path google/electra-base-discriminator \
        --train_file train.jsonl --validation_file validation.jsonl --objective lcl --output_dir search
    python examples/run_classification.py search/best.json

The flags are those of `run_classification.py`; the search space overrides them. `--space paper` is the grid of "Happy
is Farther From Sad Than Joyful": alpha x temperature x batch size. Run the same command again to resume a search that
was stopped or killed; run it in several terminals at once to share the trials between them.
"""

from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from paper_space import paper_grid, paper_space
from search_report import (
    given_settings,
    ranked,
    save_heat_map,
    trial_row,
    write_best,
    write_trials,
)
from shared_study import SharedStudy
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from hf_lcl import ContrastiveTrainingArguments, classification_metrics
from hf_lcl.commands.arguments import DataArguments
from hf_lcl.commands.data import read_data
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.model_arguments import ModelArguments
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.train import make_trainer
from hf_lcl.support.extras import load_extra
from hf_lcl.support.tables import format_table
from hf_lcl.training.search import validation_metric, wide_space
from hf_lcl.training_args import check_choice


SPACES = {"paper": paper_space, "wide": wide_space}


@dataclass
class SearchArguments:
    """The search space, and the number of trials."""

    space: str = field(default="wide", metadata={"help": "wide, or paper: the 45 settings of the paper's grid."})
    n_trials: int | None = field(
        default=None, metadata={"help": "Number of trials; defaults to 20 (wide) or the whole grid (paper)."}
    )
    study_db: str | None = field(
        default=None, metadata={"help": "SQLite file of the search; defaults to search.db in output_dir."}
    )
    timeout: float | None = field(default=None, metadata={"help": "Start no trial after this many seconds."})
    prune: bool = field(default=True, metadata={"help": "Stop trials early that are worse than the median."})

    def __post_init__(self):
        check_choice("space", self.space, tuple(SPACES))
        if self.n_trials is not None and self.n_trials < 1:
            raise ValueError(f"n_trials={self.n_trials} searches nothing: use at least 1.")

    def trials(self) -> list[dict[str, Any]]:
        """The values of each trial that are fixed beforehand."""
        return paper_grid()[: self.n_trials] if self.space == "paper" else [{}] * (self.n_trials or 20)


def main(argv: list[str] | None = None) -> None:
    model_args, data_args, training_args, search_args = parse_arguments(
        (ModelArguments, DataArguments, ContrastiveTrainingArguments, SearchArguments), argv
    )
    load_extra("optuna", extra="search")
    if search_args.space == "paper":
        load_extra("matplotlib", extra="plots")
        if not training_args.is_contrastive:
            raise ValueError(
                "space='paper' searches alpha and temperature: use objective='scl' or 'lcl', or space='wide'."
            )
    if training_args.world_size > 1:
        raise ValueError("A trial runs in one process: give the command several times instead of torchrun.")
    folder = Path(training_args.output_dir)
    # A search saves no models: train the best setting again with run_classification.py.
    if training_args.eval_strategy == "no" and not training_args.head_refit:
        training_args.eval_strategy = IntervalStrategy.EPOCH
    settings = given_settings(model_args, data_args, training_args)
    training_args.save_strategy, training_args.load_best_model_at_end = SaveStrategy.NO, False

    training_args.do_train, training_args.do_eval, training_args.do_predict = True, True, False
    splits, names, tokenizer = read_data(model_args, data_args, training_args)
    trainer = make_trainer(model_args, training_args, splits, names, tokenizer, for_trials=True)
    metric, direction = validation_metric(training_args, classification_metrics, len(names))
    study = SharedStudy(
        Path(search_args.study_db or folder / "search.db"),
        name=f"{search_args.space}-{training_args.objective}",
        direction=direction,
        trials=search_args.trials(),
        settings={name: value for name, value in settings.items() if name != "output_dir"},
        seed=training_args.seed,
        prune=search_args.prune,
    )
    space = partial(SPACES[search_args.space], args=training_args)
    ended = study.run(trainer, space, itemgetter(metric), timeout=search_args.timeout)

    trials = [trial for trial in study.trials() if trial.state.is_finished()]
    best = ranked(trials, direction)
    if not ended:
        print(f"{len(trials)} of {len(study.trials())} trials have ended; the same command goes on.")
    if not best and not ended:
        return
    if not best:
        raise ValueError(
            f"No trial was completed; {len(trials)} were pruned. Lower the learning rate or train longer."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with study.lock:  # another process may write the same files
        write_trials(trials, metric, folder / "trials.csv")
        if search_args.space == "paper":
            save_heat_map(trials, metric, direction, folder)
        write_best(best[0], space, settings, folder)
    print(f"\nbest trials\n{format_table([trial_row(trial, metric, sorted(trial.params)) for trial in best[:10]])}")
    print(f"\nTrain the best: python examples/run_classification.py {folder / 'best.json'}")


if __name__ == "__main__":
    with one_line_errors():
        main()
