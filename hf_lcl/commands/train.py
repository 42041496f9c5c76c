"""`python -m hf_lcl train`: fine-tunes an ordinary classifier on files."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase, set_seed

from ..evaluation import classification_metrics
from ..trainer import ContrastiveTrainer
from ..training_args import ContrastiveTrainingArguments
from .arguments import DataArguments
from .automatic import choose_settings, choose_work, few_lines, is_left_to_us, write_settings
from .data import read_data
from .job import run_job
from .model_arguments import ModelArguments
from .parsing import given_names, is_settings_file, parse_arguments


# transformers' default, with which a short training has no loss curve.
UNSEEN_LOGGING_STEPS = 500
ARGUMENTS = (ModelArguments, DataArguments, ContrastiveTrainingArguments)
USAGE = "python -m hf_lcl train [FILE | SETTINGS.yaml] [--FLAG VALUE ...]"
DESCRIPTION = """\
Fine-tunes a text classifier, and saves it as an ordinary classifier of transformers, with its card, its results and
its plots.

  python -m hf_lcl train tickets.csv

finds the text and label columns, holds out a validation and a test part, chooses hyperparameters, prints the choices,
trains and tests. Flags override each choice. With --do_train, --do_eval or --do_predict nothing is chosen:

  python -m hf_lcl train --model_name_or_path google/electra-base-discriminator \\
      --train_file train.jsonl --validation_file validation.jsonl --test_file test.jsonl \\
      --do_train --do_eval --do_predict --output_dir out

Files are csv, tsv, json, jsonl, txt (.gz may follow) or parquet. Where nothing is chosen, their columns are `text` and
`label`, or those named by flags. The same flags may be in a YAML or JSON file, one per line (`do_train: true`): give
its name first; later flags override it.

The other flags that matter most are:
  --objective                    lcl, scl or ce: with a contrastive loss, or with cross-entropy alone
  --alpha, --temperature         of the contrastive loss
  --num_train_epochs, --learning_rate, --per_device_train_batch_size
  --text_column_names, --label_column_name, --max_seq_length
  --bf16                         faster on hardware that supports it
  --push_to_hub                  publish the result

examples/run_classification.py is this command as a short script, to copy and to change."""


def main(argv: list[str]) -> None:
    argv = naming_file(argv, ARGUMENTS)
    arguments = model_args, data_args, training_args = parse_arguments(
        ARGUMENTS, argv, usage=USAGE, description=DESCRIPTION
    )
    given = given_names(argv)
    chooses = is_left_to_us(data_args, given)
    data_args.is_automatic = chooses
    with few_lines(data_args.is_brief):
        if chooses:
            given |= choose_work(data_args, training_args, given)
        splits, names, tokenizer = read_data(model_args, data_args, training_args)
        if chooses:
            given |= choose_settings(training_args, splits, names, model_args.load_config(), given)

        def keep_settings() -> None:
            chosen = given | ({"fold_temperature"} if data_args.fold_temperature else set())
            if training_args.process_index == 0:
                write_settings(arguments, chosen)

        trainer = make_trainer(model_args, training_args, splits, names, tokenizer)
        run_job(trainer, splits, data_args, when_trained=keep_settings)
    trainer.accelerator.end_training()  # or a process may abort as it exits while others still write


def naming_file(argv: list[str], arguments: Iterable[Any]) -> list[str]:
    """Inserts `--train_file` before a file of texts that is first on the command line of these dataclasses."""
    is_file = argv and not argv[0].startswith("-") and not is_settings_file(argv[0], arguments)
    return ["--train_file", *argv] if is_file else argv


def make_trainer(
    model_args: ModelArguments,
    training_args: ContrastiveTrainingArguments,
    splits: DatasetDict,
    names: list[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    for_trials: bool = False,
) -> ContrastiveTrainer:
    """
    A trainer with a new model, initialised by the seed, or one that builds a new model for each trial of a search. A
    training logs its loss about 20 times where `logging_steps` has transformers' default.
    """
    if training_args.logging_steps == UNSEEN_LOGGING_STEPS and not for_trials:
        training_args.logging_steps = 0.05
    build = partial(model_args.build_model, names, training_args.objective)
    set_seed(training_args.seed)
    return ContrastiveTrainer(
        **({"model_init": build} if for_trials else {"model": build()}),
        args=training_args,
        train_dataset=splits.get("train"),
        eval_dataset=splits.get("validation"),
        processing_class=tokenizer,
        compute_metrics=classification_metrics,
    )
