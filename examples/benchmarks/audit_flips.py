"""Real texts with flipped labels, and how good a ranking is at finding them."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from study.cells import Cell, few_of_each, load_cell

from hf_lcl.evaluation.audit.embedding import Embedder
from hf_lcl.evaluation.relations import class_means


NOISE = ("nearest class", "any class")
MANY_CLASSES = 20
SHARE = 0.05  # of the labels that are flipped
Data = dict[str, np.ndarray]


def load(name: str, encoder: str, data_dir: str | None, cache: Path, per_class: int | None, max_samples: int) -> Data:
    """
    Embeddings, classes and texts of training and test texts, and the names of the classes; from the cache after the
    first time.

    Args:
        name (`str`): of the recipe.
        encoder (`str`): a folder or an id on the Hub.
        data_dir (`str`, *optional*): folder of data sets; else the Hub.
        cache (`Path`): folder of embeddings.
        per_class (`int`, *optional*): training texts of each class, where there are `MANY_CLASSES`.
        max_samples (`int`): of other training texts, and of each test set at most.
    """
    path = cache / f"{name}_{per_class}_{max_samples}.npz"
    if not path.is_file():
        splits = load_cell(Cell(name, 1, 1e-4), data_dir, "test", 0)
        names = splits["train"].features["label"].names
        is_drawn = per_class is not None and len(names) >= MANY_CLASSES
        if per_class is not None and is_drawn:
            splits["train"] = few_of_each(splits["train"], per_class, 0)
        embed = Embedder(encoder)
        arrays: dict[str, Any] = {"names": np.array(names)}
        for split in ("train", "test"):
            dataset = splits[split].shuffle(seed=0)
            if split == "test" or not is_drawn:
                dataset = dataset.select(range(min(len(dataset), max_samples)))
            arrays |= {
                f"{split}_labels": np.array(dataset["label"][:]),
                f"{split}_texts": np.array(dataset["text"][:]),
            }
            arrays[f"{split}_embeddings"] = np.array(embed(dataset["text"][:], f"{name} {split}"))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    with np.load(path) as file:
        return dict(file)


def flip(data: Data, noise: str, seed: int) -> np.ndarray:
    """The training labels, a share of them wrong."""
    rng, labels = np.random.default_rng(seed), data["train_labels"].copy()
    num_labels = labels.max() + 1
    rows = rng.choice(len(labels), round(SHARE * len(labels)), replace=False)
    if noise == "any class":
        labels[rows] = (labels[rows] + rng.integers(1, num_labels, len(rows))) % num_labels
        return labels
    means = class_means(data["train_embeddings"].astype(np.float64), labels, num_labels)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    np.fill_diagonal(cosines, -1)
    labels[rows] = cosines.argmax(axis=1)[labels[rows]]
    return labels


def figures(is_wrong: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Precision at k, the number of wrong labels, and AUROC of scores of which the largest come first."""
    first = np.argsort(-scores, kind="stable")[: is_wrong.sum()]
    return {"precision_at_k": float(is_wrong[first].mean()), "auroc": float(roc_auc_score(is_wrong, scores))}


def margins(probabilities: np.ndarray, labels: np.ndarray, relations: np.ndarray, power: float) -> np.ndarray:
    """
    By how much the likeliest other class is above the label, where a wrong label is likelier of a class that is close
    to the truth.

    Args:
        probabilities (`np.ndarray` of shape `(rows, num_labels)`): of the classes.
        labels (`np.ndarray` of shape `(rows,)`): as given.
        relations (`np.ndarray` of shape `(num_labels, num_labels)`): how close to each class (row) each other one is.
        power (`float`): of the prior; 0 for none.
    """
    scores = np.log(probabilities) + power * np.log(relations[:, labels].T.clip(1e-6))  # of the label, given the truth
    rows = np.arange(len(labels))
    own = scores[rows, labels].copy()
    scores[rows, labels] = -np.inf
    return scores.max(axis=1) - own


def positive(probabilities: np.ndarray) -> np.ndarray:
    """Rows that add up to 1, without zeros."""
    probabilities = np.asarray(probabilities, dtype=np.float64) + 1e-9
    return probabilities / probabilities.sum(axis=1, keepdims=True)
