"""The usual ways to train on labelled texts, each as a trainer that is ready to start."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    encode_labels,
    load_splits,
    tokenize_texts,
)


PADDED, PLAIN, LCL = "`Trainer`, padded", "`Trainer`", "ours, LCL"


@dataclass
class Settings:
    """Encoder, data and how long to measure."""

    model_name_or_path: str = field(metadata={"help": "Hub id or folder of the encoder."})
    train_file: str = field(metadata={"help": "Texts and labels: csv, json, jsonl (.gz may follow) or parquet."})
    texts: int = field(default=768, metadata={"help": "Train on this many texts of the file, from the first on."})
    ways: list[str] = field(default_factory=list, metadata={"help": "Names of the ways to measure; defaults to all."})
    batch_size: int = field(default=32, metadata={"help": "Texts in a batch."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    rounds: int = field(default=3, metadata={"help": "Measured epochs of each way."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of training.json and training.md."}
    )


class Bench:
    """The texts, and a trainer for each way."""

    def __init__(self, settings: Settings, tiny: bool = False):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.settings, self.tiny = settings, tiny
        splits = load_splits({"train": settings.train_file})
        splits["train"] = splits["train"].select(range(min(settings.texts, len(splits["train"]))))
        self.splits, self.names = encode_labels(splits)
        self.tokenizer = AutoTokenizer.from_pretrained(settings.model_name_or_path)
        self.ways: dict[str, Callable] = {
            PADDED: partial(self.stock, padding="max_length"),
            PLAIN: partial(self.stock, padding=False),
            "ours, CE": partial(self.ours, objective="ce"),
            LCL: partial(self.ours, objective="lcl"),
            "ours, LCL, bf16": partial(self.ours, objective="lcl", bf16=True),
        }
        if find_spec("sentence_transformers") and not tiny:
            self.ways["sentence-transformers"] = self.sentence_transformers
        if find_spec("setfit") and not tiny:
            self.ways["SetFit"] = self.setfit
        if settings.ways:
            self.ways = {name: way for name, way in self.ways.items() if name in {*settings.ways, PADDED, PLAIN, LCL}}

    def tokens(self, padding: bool | str) -> Dataset:
        return tokenize_texts(self.splits, self.tokenizer, max_length=self.settings.max_seq_length, padding=padding)[
            "train"
        ]

    def native(self) -> AutoModelForSequenceClassification:
        if not self.tiny:
            return AutoModelForSequenceClassification.from_pretrained(
                self.settings.model_name_or_path, num_labels=len(self.names)
            )
        config = AutoConfig.from_pretrained(
            self.settings.model_name_or_path,
            num_labels=len(self.names),
            num_hidden_layers=1,
            hidden_size=8,
            num_attention_heads=1,
            intermediate_size=8,
        )
        return AutoModelForSequenceClassification.from_config(config)

    def arguments(self) -> dict:
        return {
            "output_dir": tempfile.mkdtemp(),
            "per_device_train_batch_size": self.settings.batch_size,
            "num_train_epochs": 1,
            "save_strategy": "no",
            "report_to": "none",
            "logging_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": not torch.cuda.is_available(),
            "dataloader_pin_memory": torch.cuda.is_available(),
        }

    def stock(self, padding: bool | str) -> Trainer:
        return Trainer(
            self.native(),
            TrainingArguments(**self.arguments()),
            train_dataset=self.tokens(padding),
            data_collator=DataCollatorWithPadding(self.tokenizer),
            processing_class=self.tokenizer,
        )

    def ours(self, objective: str, **settings) -> Trainer:
        weighting = "head" if objective == "lcl" else "none"
        return ContrastiveTrainer(
            LCLForSequenceClassification.from_native(self.native(), weighting=weighting),
            ContrastiveTrainingArguments(objective=objective, **settings, **self.arguments()),
            train_dataset=self.tokens(False),
            processing_class=self.tokenizer,
        )

    def sentence_transformers(self) -> Trainer:
        from sentence_transformers import (
            SentenceTransformer,
            SentenceTransformerTrainer,
            SentenceTransformerTrainingArguments,
        )
        from sentence_transformers.losses import BatchAllTripletLoss
        from sentence_transformers.training_args import BatchSamplers

        model = SentenceTransformer(self.settings.model_name_or_path)
        model.max_seq_length = self.settings.max_seq_length
        data = self.splits["train"].select_columns(["text", "labels"]).rename_column("labels", "label")
        return SentenceTransformerTrainer(
            model,
            SentenceTransformerTrainingArguments(batch_sampler=BatchSamplers.GROUP_BY_LABEL, **self.arguments()),
            train_dataset=data,
            loss=BatchAllTripletLoss(model),
        )

    def setfit(self) -> object:
        from setfit import SetFitModel
        from setfit import Trainer as SetFitTrainer
        from setfit import TrainingArguments as SetFitArguments

        model = SetFitModel.from_pretrained(self.settings.model_name_or_path)
        data = self.splits["train"].select_columns(["text", "labels"]).rename_column("labels", "label")
        args = SetFitArguments(
            output_dir=tempfile.mkdtemp(),
            batch_size=self.settings.batch_size,
            num_epochs=1,
            num_iterations=1,
            max_length=self.settings.max_seq_length,
            report_to="none",
            show_progress_bar=False,
        )
        return SetFitTrainer(model=model, args=args, train_dataset=data)
