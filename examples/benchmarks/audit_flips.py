"""Real texts with flipped labels, and metrics of rankings that should find them."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from study.cells import Cell, few_of_each, load_cell

from hf_lcl.evaluation.audit.embedding import Embedder
from hf_lcl.evaluation.relations import class_means


NOISE = ("nearest class", "any class")
MANY_CLASSES = 20
SHARE = 0.05  # of the labels, to flip
Data = dict[str, np.ndarray]


def load(name: str, encoder: str, data_dir: str | None, cache: Path, per_class: int | None, max_samples: int) -> Data:
    """
    Loads training and test texts with their labels and embeddings, and the class names. Later calls read the cache.

    Args:
        name (`str`): name of the recipe.
        encoder (`str`): a folder or an id on the Hub.
        data_dir (`str`, *optional*): folder of data sets; defaults to the Hub.
        cache (`Path`): folder of cached embeddings.
        per_class (`int`, *optional*): training texts per class, if there are `MANY_CLASSES` or more.
        max_samples (`int`): largest number of training texts otherwise, and of test texts.
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
    """The training labels, with a share of them flipped."""
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
    """Precision at k, where k is the number of wrong labels, and AUROC of scores that rank in descending order."""
    first = np.argsort(-scores, kind="stable")[: is_wrong.sum()]
    return {"precision_at_k": float(is_wrong[first].mean()), "auroc": float(roc_auc_score(is_wrong, scores))}


def margins(probabilities: np.ndarray, labels: np.ndarray, relations: np.ndarray, power: float) -> np.ndarray:
    """
    Log-probability of the likeliest other class minus that of the given label. A prior from `relations` makes it
    likelier that a wrong label is close to the true class.

    Args:
        probabilities (`np.ndarray` of shape `(rows, num_labels)`): class probabilities.
        labels (`np.ndarray` of shape `(rows,)`): the given labels.
        relations (`np.ndarray` of shape `(num_labels, num_labels)`): closeness of each class (column) to the true one.
        power (`float`): exponent of the prior; 0 for none.
    """
    scores = np.log(probabilities) + power * np.log(relations[:, labels].T.clip(1e-6))  # p(label | truth)
    rows = np.arange(len(labels))
    own = scores[rows, labels].copy()
    scores[rows, labels] = -np.inf
    return scores.max(axis=1) - own


def positive(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities without zeros, normalised to sum to 1 in each row."""
    probabilities = np.asarray(probabilities, dtype=np.float64) + 1e-9
    return probabilities / probabilities.sum(axis=1, keepdims=True)
