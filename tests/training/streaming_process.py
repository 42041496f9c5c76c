"""Records the rows that a trainer takes from a stream."""

from pathlib import Path

from datasets import Dataset, IterableDataset, load_from_disk
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments


Row = tuple[int, list[int]]  # label and token ids


def as_stream(dataset: Dataset) -> IterableDataset:
    """The rows of a data set, one after another."""
    return dataset.to_iterable_dataset()


def keys(rows) -> list[Row]:
    """The label and token ids of rows, given as a list or as columns."""
    if isinstance(rows, dict):
        return list(zip(rows["labels"], rows["input_ids"]))
    return [(row["labels"], row["input_ids"]) for row in rows]


def taken_batches(trainer: ContrastiveTrainer) -> list[list[Row]]:
    """A list to which the trainer appends its batches."""
    batches, compute_loss = [], trainer.compute_loss

    def take(model, inputs, *args, **kwargs):
        if model.training:
            ids = [row[mask.bool()].tolist() for row, mask in zip(inputs["input_ids"], inputs["attention_mask"])]
            batches.append(list(zip(inputs["labels"].tolist(), ids)))
        return compute_loss(model, inputs, *args, **kwargs)

    trainer.compute_loss = take
    return batches


def run(folder: Path, objective: str = "scl", checkpoint: Path | None = None) -> list[list[Row]]:
    """The batches of this process in eight steps, from the start or from a checkpoint."""
    args = ContrastiveTrainingArguments(
        str(folder / "streaming"),
        objective=objective,
        max_steps=8,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        save_strategy="steps",
        save_steps=5,
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        report_to="none",
        accelerator_config={"dispatch_batches": False},
    )
    trainer = ContrastiveTrainer(
        AutoModelForSequenceClassification.from_pretrained(folder / "model"),
        args,
        train_dataset=as_stream(load_from_disk(folder / "train")),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
    )
    batches = taken_batches(trainer)
    trainer.train(resume_from_checkpoint=checkpoint)
    return batches


def run_all(folder: Path) -> dict[str, list]:
    """The whole run, its remainder resumed from a checkpoint, and a run with cross-entropy."""
    whole = run(folder)
    resumed = run(folder, checkpoint=folder / "streaming" / "checkpoint-5")
    return {"whole": whole, "resumed": resumed, "ce": run(folder, "ce")}
