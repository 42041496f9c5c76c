"""Validation and test splits that are held out from the training set."""

import numpy as np
from datasets import Dataset, DatasetDict

from .labels import class_ids
from .repeats import text_keys
from .several_labels import rarest_labels


# The test split should have about this many texts, so a small data set holds out a larger share.
TEST_TEXTS = 1000
SHARES = (0.1, 0.2)  # at least, at most


def test_share(rows: int) -> float:
    """The share of `rows` rows that is held out for testing: 1,000 texts, but at least 10% and at most 20%."""
    return float(np.clip(TEST_TEXTS / rows, *SHARES))


def hold_out(
    splits: DatasetDict,
    shares: dict[str, float],
    text_columns: list[str] | tuple[str, ...] = ("text",),
    *,
    seed: int = 42,
) -> DatasetDict:
    """
    Moves rows of the training split, labelled by [`encode_labels`], into new splits; `shares` maps their names to
    their shares. Splits are stratified by class as far as whole texts allow: rows with the same text stay together, so
    that no text is both trained and tested on. A class with a single text stays in the training split. A text with
    several labels is stratified by the rarest of them.

    Raises:
        ValueError: if a share is out of range, a split exists already, or there are too few rows to hold any out.
    """
    train = splits["train"]
    labels, keys = class_ids(train), text_keys(train, text_columns)
    left, num_texts, rng = np.arange(len(train)), len(np.unique(keys)), np.random.default_rng(seed)
    parts: dict[str, Dataset] = {}
    for name, share in shares.items():
        if name in splits:
            raise ValueError(f"The data has a {name} split: leave {name}_split out, or drop it by remove_splits.")
        if not 0 < share <= 0.5:
            raise ValueError(f"{name}_split={share} must be above 0 and at most 0.5: write {name}_split=0.1.")
        taken = _draw(labels[left], keys[left], round(share * num_texts), rng)
        if not taken.any():
            larger = f", or {name}_split=0.3" if share < 0.3 else ""
            raise ValueError(
                f"{len(train)} rows are too few to hold out a {name} split of {share:.0%} (a class with a single "
                f"text gives none): add texts, or give a {name} file{larger}."
            )
        parts[name] = train.select(left[taken])
        left = left[~taken]
    return DatasetDict({"train": train.select(left), **parts, **{k: v for k, v in splits.items() if k != "train"}})


def _draw(labels: np.ndarray, keys: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """A mask of the rows of `number` texts: every n-th of a list that is sorted by class and shuffled within it."""
    # Keys differ from process to process: nothing may depend on their order.
    _, first, text = np.unique(keys, return_index=True, return_inverse=True)
    classes = rarest_labels(labels)[first]
    order = np.lexsort((rng.random(len(labels))[first], classes))
    order = order[np.bincount(classes)[classes[order]] > 1]
    number = min(number, len(order) // 2)
    chosen = np.zeros(len(first), dtype=bool)
    chosen[order[((np.arange(number) + rng.random()) * len(order) / max(number, 1)).astype(int)]] = True
    taken = chosen[text]
    # A text with several labels may be the last training text of a class: such texts stay in training.
    if labels.ndim == 2:
        has_lost = labels[:, labels.any(axis=0) & ~labels[~taken].any(axis=0)].any(axis=1)
    else:
        has_lost = np.isin(labels, np.setdiff1d(labels, labels[~taken]))
    return taken & ~np.isin(keys, keys[has_lost])
