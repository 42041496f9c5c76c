"""The data of the study: training texts and budgets."""

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets
from sklearn.model_selection import train_test_split
from transformers import Trainer

from hf_lcl import load_splits
from hf_lcl.training.names import words_of_names

from .curve import Curve


sys.path.append(str(Path(__file__).parents[2] / "paper"))  # the recipes of the data sets
from recipes import load_recipe


@dataclass(frozen=True)
class Cell:
    """
    Training texts, and the training budget of all fine-tuning systems.

    Args:
        data (`str`): name of the recipe.
        epochs (`int`): passes over the training texts.
        learning_rate (`float`): peak learning rate, after a warm-up of a tenth of the steps; it then decays to zero.
        batch_size (`int`, *optional*, defaults to 32): texts in a batch.
        draw (`str`, *optional*): name of a published draw; its file is in the folder of the training texts.
        per_class (`int`, *optional*): texts of each class, drawn with the seed of the run.
    """

    data: str
    epochs: int
    learning_rate: float
    batch_size: int = 32
    draw: str | None = None
    per_class: int | None = None

    @property
    def is_few_shot(self) -> bool:
        """Whether there are only a few texts of each class."""
        return self.draw is not None or self.per_class is not None

    @property
    def budget(self) -> dict[str, Any]:
        """The settings of the budget, which are part of the identity of a run."""
        return {name: getattr(self, name) for name in ("epochs", "learning_rate", "batch_size")}


# The fewer texts, the more epochs: about 480 steps of 32 texts in few-shot cells with 20 classes or more.
CELLS = {
    "banking77, 5 each": Cell("banking77", 40, 2e-4, draw="train_5"),
    "banking77, 10 each": Cell("banking77", 20, 2e-4, draw="train_10"),
    "clinc150, 5 each": Cell("clinc150", 20, 2e-4, draw="train_5"),
    "clinc150, 10 each": Cell("clinc150", 10, 2e-4, draw="train_10"),
    "emoint, 8 each": Cell("emoint", 40, 1e-4, batch_size=16, per_class=8),
    "emoint, 16 each": Cell("emoint", 40, 1e-4, batch_size=16, per_class=16),
    "emoint, 64 each": Cell("emoint", 20, 1e-4, batch_size=16, per_class=64),
    "goemotions, 8 each": Cell("goemotions", 40, 1e-4, per_class=8),
    "goemotions, 16 each": Cell("goemotions", 20, 1e-4, per_class=16),
    "goemotions, 64 each": Cell("goemotions", 8, 1e-4, per_class=64),
    "empathetic_dialogues, 8 each": Cell("empathetic_dialogues", 40, 1e-4, per_class=8),
    "empathetic_dialogues, 16 each": Cell("empathetic_dialogues", 20, 1e-4, per_class=16),
    "empathetic_dialogues, 64 each": Cell("empathetic_dialogues", 8, 1e-4, per_class=64),
    # Drawn anew for each seed, unlike the published draws, which are the same for all seeds.
    "banking77, 5 redrawn": Cell("banking77", 40, 2e-4, per_class=5),
    "clinc150, 5 redrawn": Cell("clinc150", 20, 2e-4, per_class=5),
    # Never used to choose settings.
    "trec6, 16 each": Cell("trec6", 40, 1e-4, batch_size=16, per_class=16),
    "ag_news_subset, 16 each": Cell("ag_news_subset", 40, 1e-4, batch_size=16, per_class=16),
    "sst5, 16 each": Cell("sst5", 40, 1e-4, batch_size=16, per_class=16),
    "tweeteval, 16 each": Cell("tweeteval", 40, 1e-4, batch_size=16, per_class=16),
    "emoint": Cell("emoint", 5, 1e-4),
    "trec6": Cell("trec6", 5, 1e-4),
    "sst5": Cell("sst5", 3, 1e-4),
    "banking77": Cell("banking77", 5, 2e-4),
    "clinc150": Cell("clinc150", 5, 2e-4),
    "empathetic_dialogues": Cell("empathetic_dialogues", 3, 1e-4),
    "goemotions": Cell("goemotions", 3, 1e-4),
}


@dataclass(frozen=True)
class Task:
    """
    The encoder, data and settings of one run.

    Args:
        encoder (`str`): Hub id or folder.
        cell ([`Cell`]): the budget.
        splits (`DatasetDict`): `train`, `test` and `validation`, with the columns `text` and `label` (a `ClassLabel`).
        seed (`int`): seed of the draw, the new weights and the order of the texts.
        bf16 (`bool`): whether to use bfloat16 mixed precision.
        max_seq_length (`int`): longer texts are cut to this many tokens.
        curve ([`Curve`], *optional*): records the accuracy on the validation texts after each epoch.
        follow (`Callable`, *optional*): called before training with the trainer and all tokenised texts.
    """

    encoder: str
    cell: Cell
    splits: DatasetDict
    seed: int
    bf16: bool
    max_seq_length: int
    curve: Curve | None = None
    follow: Callable[[Trainer, DatasetDict], None] | None = None

    @property
    def names(self) -> list[str]:
        """The classes by id."""
        return self.splits["train"].features["label"].names

    def with_names(self, sentences: Sequence[str] = ("{}",)) -> "Task":
        """
        The same with the class names as further training texts, for systems that do not use them otherwise: one text
        for each of the `sentences`, in which the name takes the place of `{}`.
        """
        train = self.splits["train"]
        words = words_of_names(dict(enumerate(self.names)))  # as in our start
        texts = [sentence.format(name) for sentence in sentences for name in words.values()]
        names = Dataset.from_dict({"text": texts, "label": [*words] * len(sentences)}, features=train.features)
        return replace(self, splits=DatasetDict({**self.splits, "train": concatenate_datasets([train, names])}))


def load_cell(cell: Cell, data_dir: str | None, tested_on: str, seed: int) -> DatasetDict:
    """
    Loads the splits `train`, `test` and `validation` of a cell; no system trains on the latter two.

    Args:
        cell ([`Cell`]): the cell.
        data_dir (`str`, *optional*): folder of data sets, as for [`load_recipe`]; required for published draws.
        tested_on (`str`): source of `test`: `"test"`, or `"validation"` while settings are still being chosen.
        seed (`int`): seed of the draw.

    Raises:
        ValueError: if the data are not found.
    """
    splits, recipe = load_recipe(cell.data, data_dir=data_dir)
    train = splits["train"]
    if cell.draw is not None:
        if data_dir is None:
            raise ValueError(f"{cell.draw} of {cell.data} is not on the Hub: give --data_dir FOLDER.")
        path = Path(data_dir) / recipe.folder / f"{cell.draw}.jsonl.gz"
        train = load_splits({"train": path})["train"].cast_column("label", train.features["label"])
    if cell.per_class is not None:
        train = few_of_each(train, cell.per_class, seed)
    columns = ["text", "label"]
    named = {"train": train, "test": splits[tested_on], "validation": splits["validation"]}
    return DatasetDict({name: split.select_columns(columns) for name, split in named.items()})


def draw_cell(cell: Cell, data_dir: str | None, seed: int, held_out: int) -> DatasetDict:
    """
    Draws the cell's number of texts per class (`train`), and held-out texts (`test`) outside the test set.

    Args:
        cell ([`Cell`]): data set and texts per class; published draws are replaced by new ones.
        data_dir (`str`, *optional*): folder of data sets, as for [`load_recipe`].
        seed (`int`): seed of both draws.
        held_out (`int`): held-out texts, stratified by class, from the validation set and the unused training texts.
    """
    splits, _ = load_recipe(cell.data, data_dir=data_dir)
    per_class = cell.per_class or int(cell.draw.rpartition("_")[2])
    train = few_of_each(splits["train"], per_class, seed)
    rest = concatenate_datasets([splits["validation"], splits["train"]]).select_columns(["text", "label"])
    known = set(train["text"][:])
    rest = rest.filter(lambda row: row["text"] not in known)
    if len(rest) > held_out:
        rows, _ = train_test_split(
            np.arange(len(rest)), train_size=held_out, stratify=rest["label"][:], random_state=seed
        )
        rest = rest.select(rows)
    return DatasetDict(train=train.select_columns(["text", "label"]), test=rest)


def few_of_each(dataset: Dataset, per_class: int, seed: int) -> Dataset:
    """Draws `per_class` rows of each class, or all there are, in random order."""
    shuffled = dataset.shuffle(seed=seed)
    rows = defaultdict(list)
    for row, label in enumerate(shuffled["label"][:]):
        rows[label].append(row)
    return shuffled.select(sorted(row for members in rows.values() for row in members[:per_class]))
