"""Data and trainers whose batches reveal the numbers of their rows."""

from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LabelBalancedSampler
from hf_lcl.data.lengths import token_counts


SIZES = [14, 12, 10, 9, 8, 6, 4, 3]  # of the classes, in a run of several processes


def rows(sizes: list[int]) -> Dataset:
    """Texts of classes of these sizes, with 4 to 23 tokens; the second and third token encode the row number."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    lengths = np.random.default_rng(1).integers(0, 20, size=len(labels))
    tokens = [[2, 5 + row // 40, 5 + row % 40, 3, *[4] * length] for row, length in enumerate(lengths)]
    masks = [[1] * len(text) for text in tokens]
    return Dataset.from_dict({"input_ids": tokens, "attention_mask": masks, "labels": labels})


def row_numbers(batch: dict[str, torch.Tensor]) -> list[int]:
    """The numbers of the rows in a batch."""
    return ((batch["input_ids"][:, 1] - 5) * 40 + batch["input_ids"][:, 2] - 5).tolist()


def classifier(num_labels: int) -> BertForSequenceClassification:
    """A tiny classifier with random weights, the same for each call."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=1.0,  # texts must differ
        num_labels=num_labels,
    )
    return BertForSequenceClassification(config)


def draw_with(trainer: ContrastiveTrainer, lengths: bool = False, **options) -> LabelBalancedSampler:
    """Makes a trainer use these options of the sampler."""
    sampler = LabelBalancedSampler(
        trainer.train_dataset["labels"][:],
        trainer.args.per_device_train_batch_size,
        lengths=token_counts(trainer.train_dataset) if lengths else None,
        **options,
    )
    trainer._get_train_sampler = lambda train_dataset=None: sampler
    return sampler


class Steps(list):
    """The rows of each step that a trainer takes."""

    def __init__(self, trainer: ContrastiveTrainer):
        self.compute_loss = trainer.compute_loss
        trainer.compute_loss = self.step

    def step(self, model, inputs, return_outputs=False, num_items_in_batch=None) -> torch.Tensor:
        """The loss of the trainer."""
        self.append(row_numbers(inputs))
        return self.compute_loss(model, inputs)


def steps(folder: Path, checkpoint: Path | None) -> Steps:
    """Trains for two epochs, from the start or from a checkpoint."""
    args = ContrastiveTrainingArguments(
        str(folder / "sampling"),
        objective="scl",
        per_device_train_batch_size=8,
        num_train_epochs=2,
        save_strategy="steps",
        save_steps=7,
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        report_to="none",
    )
    trainer = ContrastiveTrainer(
        classifier(len(SIZES)),
        args,
        train_dataset=rows(SIZES),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
    )
    draw_with(trainer, lengths=True)
    taken = Steps(trainer)
    trainer.train(resume_from_checkpoint=checkpoint)
    return taken


def run_both(folder: Path) -> dict[str, Steps]:
    """The whole run, and its remainder resumed from a checkpoint."""
    whole = steps(folder, None)
    return {"whole": whole, "resumed": steps(folder, folder / "sampling" / "checkpoint-7")}
