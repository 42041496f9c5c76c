"""Which texts to label next."""

from collections import Counter
from collections.abc import Collection, Sequence
from math import ceil

import numpy as np

from ..decisions import probabilities
from .findings import SAME_TEXT_COSINE, same_words


def choose_next(
    logits: np.ndarray,
    embeddings: np.ndarray,
    texts: Sequence[str],
    number: int,
    *,
    known: Collection[str] = (),
) -> tuple[list[int], Counter[str]]:
    """
    Active learning by breaking ties: the texts with the smallest margin between their two likeliest classes. Of
    near-equal texts one is taken, and of a class at most twice its equal share, unless there are too few others.

    Returns at most `number` rows, the smallest margin first, and how many were skipped as `known` or `near-equal`.
    Logits are `(rows, num_labels)`, embeddings of length 1 `(rows, hidden)`; `known` are the texts that have a label
    already, normalised by [`same_words`].
    """
    found = probabilities(logits, several=False)
    *_, second, first = np.partition(found, -2, axis=1).T
    best, order = found.argmax(axis=1), np.argsort(first - second, kind="stable")
    cap, of_class, counts = ceil(2 * number / found.shape[1]), Counter[int](), Counter[str]()
    known, chosen, waiting = set(known), list[int](), list[int]()
    vectors = np.empty((min(number, len(texts)), embeddings.shape[1]), dtype=np.float32)
    fresh = [row for row in order if same_words(texts[row]) not in known]
    counts["known"] = len(order) - len(fresh)
    for candidates, is_capped in ((fresh, True), (waiting, False)):
        for row in candidates:
            if len(chosen) == number:
                break
            if is_capped and of_class[int(best[row])] >= cap:
                waiting.append(row)
                continue
            if len(chosen) and (vectors[: len(chosen)] @ embeddings[row].astype(np.float32)).max() >= SAME_TEXT_COSINE:
                counts["near-equal"] += 1
                continue
            vectors[len(chosen)] = embeddings[row]
            chosen.append(int(row))
            of_class[int(best[row])] += 1
    place = {int(row): rank for rank, row in enumerate(order)}
    return sorted(chosen, key=place.__getitem__), +counts
