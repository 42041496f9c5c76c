"""Which texts to label next."""

from collections import Counter
from collections.abc import Collection, Sequence
from math import ceil

import numpy as np
from scipy.special import softmax

from .findings import SAME, same_words


def choose_next(
    logits: np.ndarray,
    embeddings: np.ndarray,
    texts: Sequence[str],
    number: int,
    *,
    known: Collection[str] = (),
    same: float = SAME,
) -> tuple[list[int], Counter[str]]:
    """
    The texts from whose labels a classifier learns most: between whose two likeliest classes it is torn (breaking
    ties). Of near-equal texts one is taken, and of a class twice its equal share at most, unless others lack.

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): of the classifier.
        embeddings (`np.ndarray` of shape `(rows, hidden)`): of length 1.
        texts (`Sequence[str]`): of the rows.
        number (`int`): how many to choose.
        known (`Collection[str]`): texts that have a label already, as [`same_words`] writes them.
        same (`float`, *optional*, defaults to 0.95): the cosine from which on two texts are near-equal.

    Returns:
        `tuple[list[int], Counter[str]]`: rows, the smallest margin first; how many were passed over as `known` or
        `near-equal`.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation.audit.choosing import choose_next

    >>> choose_next(np.array([[0, 3.0], [0, 0.1], [0, 1.0]]), np.eye(3), ["a", "b", "c"], 2, known={"c"})
    ([1, 0], Counter({'known': 1}))
    ```
    """
    probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    two = np.sort(np.partition(probabilities, -2, axis=1)[:, -2:], axis=1)
    best, order = probabilities.argmax(axis=1), np.argsort(two[:, 1] - two[:, 0], kind="stable")
    cap, of_class, counts = ceil(2 * number / probabilities.shape[1]), Counter[int](), Counter[str]()
    known, chosen, waiting = set(known), list[int](), list[int]()
    vectors = np.empty((number, embeddings.shape[1]), dtype=np.float32)
    fresh = [row for row in order if same_words(texts[row]) not in known]
    counts["known"] = len(order) - len(fresh)
    for candidates, is_capped in ((fresh, True), (waiting, False)):
        for row in candidates:
            if len(chosen) == number:
                break
            if is_capped and of_class[int(best[row])] >= cap:
                waiting.append(row)
                continue
            if len(chosen) and (vectors[: len(chosen)] @ embeddings[row].astype(np.float32)).max() >= same:
                counts["near-equal"] += 1
                continue
            vectors[len(chosen)] = embeddings[row]
            chosen.append(int(row))
            of_class[int(best[row])] += 1
    place = {int(row): rank for rank, row in enumerate(order)}
    return sorted(chosen, key=place.__getitem__), +counts
