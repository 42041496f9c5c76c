#!/usr/bin/env python
"""
Fine-tunes a text classifier with label-aware contrastive loss, and writes an ordinary sequence classifier.

    python examples/run_classification.py --model_name_or_path google/electra-base-discriminator \
        --train_file train.jsonl --validation_file validation.jsonl --test_file test.jsonl \
        --objective lcl --do_train --do_eval --do_predict --output_dir out

The flags are those of transformers' script of this name and all fields of `ContrastiveTrainingArguments`; they may
also come from a JSON or YAML file. `python -m hf_lcl train` does the same. Copy this script to change the data between
reading and training, the model or the trainer.
"""

from transformers import set_seed

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, classification_metrics
from hf_lcl.commands.arguments import DataArguments
from hf_lcl.commands.data import read_data
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.job import run_job
from hf_lcl.commands.model_arguments import ModelArguments
from hf_lcl.commands.parsing import parse_arguments


def main(argv: list[str] | None = None) -> None:
    model_args, data_args, training_args = parse_arguments(
        (ModelArguments, DataArguments, ContrastiveTrainingArguments), argv
    )
    # The data: file -> labels -> tokens. `splits` is a DatasetDict with input_ids and labels (class ids).
    splits, names, tokenizer = read_data(model_args, data_args, training_args)

    # The model: the encoder, its classifier and the weighting network.
    set_seed(training_args.seed)
    model = model_args.build_model(names, training_args.objective)

    # A transformers.Trainer: add your own callbacks, optimizers, collators and metrics here.
    trainer = ContrastiveTrainer(
        model=model,
        args=training_args,
        train_dataset=splits.get("train"),
        eval_dataset=splits.get("validation"),
        processing_class=tokenizer,
        compute_metrics=classification_metrics,
    )

    # As the flags say: train, evaluate, predict; write classifier, card, results and plots to output_dir; publish.
    run_job(trainer, splits, data_args)


if __name__ == "__main__":
    with one_line_errors():
        main()
