#!/usr/bin/env python
"""
Fine-tunes a text classifier with label-aware contrastive loss, and writes an ordinary sequence classifier.

    python examples/run_classification.py --model_name_or_path google/electra-base-discriminator \
        --train_file train.jsonl --validation_file validation.jsonl --test_file test.jsonl \
        --objective lcl --do_train --do_eval --do_predict --output_dir out

The flags are those of transformers' script of this name and every field of `ContrastiveTrainingArguments`; one JSON or
YAML file that holds them will do as well. Copy this page and change what you need.
"""

import csv
from pathlib import Path

from transformers import set_seed

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    classification_metrics,
)
from hf_lcl.arguments import DataArguments, ModelArguments
from hf_lcl.cli import format_table, one_line_errors, parse_arguments
from hf_lcl.evaluation import confused_pairs, per_class_table


def main(argv: list[str] | None = None) -> None:
    model_args, data_args, training_args = parse_arguments(
        (ModelArguments, DataArguments, ContrastiveTrainingArguments), argv
    )
    set_seed(training_args.seed)

    # The data: file -> labels -> tokens
    needed = {"train": training_args.do_train, "validation": training_args.do_eval, "test": training_args.do_predict}
    config = model_args.load_config()
    splits, names, tokenizer, summary = data_args.prepare(
        model_args, config, needed=[split for split, wanted in needed.items() if wanted]
    )
    if training_args.process_index == 0:
        print(f"data\n{summary.format()}\n")

    # The model, and the training
    model = LCLForSequenceClassification.from_encoder(
        model_args.model_name_or_path,
        id2label=dict(enumerate(names)),
        pooling=model_args.pooling,
        weighting=model_args.weighting if training_args.objective == "lcl" else "none",
        config=config,
        **model_args.hub_arguments,
    )
    trainer = ContrastiveTrainer(
        model=model,
        args=training_args,
        train_dataset=splits.get("train"),
        eval_dataset=splits.get("validation"),
        processing_class=tokenizer,
        compute_metrics=classification_metrics,
    )
    if training_args.do_train:
        result = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_state()
        metrics = result.metrics | {"train_samples": len(splits["train"])}
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)

    # What it is worth
    if training_args.do_eval:
        metrics = trainer.evaluate() | {"eval_samples": len(splits["validation"])}
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if training_args.do_predict:
        predicted = trainer.predict(splits["test"], metric_key_prefix="predict")
        metrics = predicted.metrics | {"predict_samples": len(splits["test"])}
        trainer.log_metrics("predict", metrics)
        trainer.save_metrics("predict", metrics)
    elif training_args.do_eval:
        predicted = trainer.predict(splits["validation"])
    else:
        predicted = None
    if predicted is not None and trainer.is_world_process_zero():
        report(predicted, names, Path(training_args.output_dir))

    if training_args.push_to_hub:
        trainer.push_to_hub(finetuned_from=model_args.model_name_or_path, dataset_tags=data_args.dataset_id)
    elif training_args.do_train:
        trainer.create_model_card(dataset_tags=data_args.dataset_id)


def report(predicted, names: list[str], folder: Path) -> None:
    """Writes the predictions and, where the texts have labels, prints and writes how each class fares."""
    classes = predicted.predictions.argmax(axis=-1)
    with open(folder / "predict_results.txt", "w", encoding="utf-8") as file:
        file.write("index\tprediction\n")
        file.writelines(f"{row}\t{names[index]}\n" for row, index in enumerate(classes))
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
        with open(folder / f"{title}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
