"""The data of the study of several labels per text: emotions, intents as tags, and draws of few texts."""

import re
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict
from sklearn.model_selection import train_test_split

from hf_lcl import encode_labels, load_splits
from hf_lcl.data.several_labels import rarest_labels


DATA = "goemotions_multilabel"
# A word is a tag if this many class names or more share it; the words in NO_TAGS have no meaning by themselves.
NAMES_WITH_TAG, NO_TAGS = 3, {"by", "not", "or", "up"}


def load(data_dir: Path, run: dict[str, Any]) -> tuple[DatasetDict, list[str]]:
    """Loads texts with indicator rows; all runs share the same draws of held-out texts."""
    folder = data_dir / run.get("data", DATA)
    files = {name: folder / f"{name}.jsonl.gz" for name in ("train", "validation", "test")}
    splits = tagged(load_splits(files)) if "data" in run else load_splits(files, columns=["text", "labels"])
    splits, names = encode_labels(splits, "labels")
    splits = splits.rename_column("labels", "label")  # as the tasks of the study have it
    for name in ("validation", "test"):
        splits[name] = draw(splits[name], run[name], seed=0)
    if "per_label" in run:
        splits["train"] = few_of_each_label(splits["train"], run["per_label"], run["seed"])
    else:
        splits["train"] = draw(splits["train"], run.get("texts", len(splits["train"])), run["seed"])
    return splits, names


def tagged(splits: DatasetDict) -> DatasetDict:
    """Replaces the label of each text by its tags: none, one or several."""
    words = {name: {*re.findall("[a-z]+", name.lower())} - NO_TAGS for name in splits["train"].unique("label")}
    counts = Counter(chain.from_iterable(words.values()))
    tags = {name: sorted(word for word in own if counts[word] >= NAMES_WITH_TAG) for name, own in words.items()}
    return splits.map(lambda row: {"labels": tags[row["label"]]}, remove_columns="label")


def draw(dataset: Dataset, texts: int, seed: int) -> Dataset:
    """Draws this many texts, stratified by their rarest label."""
    if texts >= len(dataset):
        return dataset
    groups = rarest_labels(np.array(dataset["label"][:]) > 0)
    rows, _ = train_test_split(np.arange(len(dataset)), train_size=texts, stratify=groups, random_state=seed)
    return dataset.select(rows)


def few_of_each_label(dataset: Dataset, per_label: int, seed: int) -> Dataset:
    """
    Draws `per_label` texts of each label, or all there are, the rarest labels first, and as many without any label; in
    random order.
    """
    shuffled = dataset.shuffle(seed=seed)
    labels = np.array(shuffled["label"][:]) > 0
    labels = np.column_stack([labels, ~labels.any(axis=1)])
    taken = np.zeros(len(labels), dtype=bool)
    for label in np.argsort(labels.sum(axis=0), kind="stable"):
        missing = max(per_label - labels[taken, label].sum(), 0)
        taken[np.flatnonzero(labels[:, label] & ~taken)[:missing]] = True
    return shuffled.select(np.flatnonzero(taken))
