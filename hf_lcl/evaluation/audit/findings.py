"""What is wrong with the rows of a file: labels, repetitions, texts that are near nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.repeats import repeats
from .folds import BLOCK, out_of_fold
from .neighbours import Neighbours, nearest


LABEL, DUPLICATE, CONFLICT, OUTLIER = "label?", "duplicate", "conflict", "outlier"
WRONG = np.log(5)  # the margin from which on a label looks wrong: another class is five times as likely
MOST_COUNTED = 5000
SAME = 0.95  # the cosine from which on two texts say the same
FAR = 3.5  # an outlier's nearest text is farther than usual by so many (robust) standard deviations
SMALLEST = np.float32(1e-12)  # of probabilities


def same_words(text: str) -> str:
    """A text without capitals and needless blanks: equal for texts that say the same word for word."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class Findings:
    """
    One entry per row of the file.

    Args:
        labels (`np.ndarray` of shape `(rows,)`): class ids as given; -1 where the file has no labels.
        suggested (`np.ndarray` of shape `(rows,)`): the likeliest class, of a classifier that has not seen the text.
        margins (`np.ndarray` of shape `(rows,)`): by how much the logit of the likeliest other class is above that
            of the label: 2.3 says that it is ten times as likely; NaN for a class with a single text.
        probabilities (`np.ndarray` of shape `(rows,)`): of the label; NaN likewise.
        neighbours ([`Neighbours`]): the nearest rows.
        flags (`dict[str, np.ndarray]`): kind of fault to which rows have it.
        singles (`list[int]`): classes with a single text, of whose label nothing can be said.
        leaks (`np.ndarray` of shape `(rows,)`): which rows are near-equal to one of another split.
    """

    labels: np.ndarray
    suggested: np.ndarray
    margins: np.ndarray
    probabilities: np.ndarray
    neighbours: Neighbours
    flags: dict[str, np.ndarray]
    singles: list[int]
    leaks: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """The rows, those first whose labels are wrong most surely."""
        return np.argsort(-np.nan_to_num(self.margins, nan=-np.inf), kind="stable")

    def flag(self, row: int) -> str:
        """The faults of a row, with blanks between."""
        return " ".join(name for name, has_it in self.flags.items() if has_it[row])

    def noise(self, num_labels: int) -> np.ndarray:
        """The share of the texts of each class (row) whose label looks wrong and that look like another (column)."""
        counts = np.zeros((num_labels, num_labels))
        suspect = self.flags[LABEL]
        np.add.at(counts, (self.labels, np.where(suspect, self.suggested, self.labels)), 1)
        return counts / counts.sum(axis=1, keepdims=True).clip(min=1)


def look_at(
    embeddings: np.ndarray,
    labels: np.ndarray | None,
    texts: Sequence[str],
    *,
    same: float = SAME,
    others: np.ndarray | None = None,
) -> Findings:
    """
    Looks for labels that are wrong, texts that repeat another or stand under several labels, and outliers.

    Args:
        embeddings (`np.ndarray` of shape `(rows, hidden)`): of length 1.
        labels (`np.ndarray` of shape `(rows,)`, *optional*): class ids from 0 on; without them, and with those of a
            single class, no label is judged.
        texts (`Sequence[str]`): equal ones, but for capitals and blanks, are held out together.
        same (`float`, *optional*, defaults to 0.95): the cosine from which on two texts are near-equal.
        others (`np.ndarray` of shape `(others, hidden)`, *optional*): embeddings of another split; a row that is
            near-equal to one of them is a duplicate.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation.audit import look_at

    >>> points = np.repeat(np.eye(2), 6, axis=0) + np.linspace(0, 0.9, 12)[:, None] * [1, 0.5]
    >>> points /= np.linalg.norm(points, axis=1, keepdims=True)
    >>> found = look_at(points, np.array([0, 0, 1, 0, 0, 0] + [1] * 6), list("abcdefghijkl"), same=1.1)
    >>> int(found.order[0]), found.flag(2)
    (2, 'label?')
    ```
    """
    # By hashes: a million take 8 MB, and that any two texts share one by chance has a probability of 3e-8.
    hashes = np.array([hash(same_words(text)) for text in texts])
    _, first, of_text = np.unique(hashes, return_index=True, return_inverse=True)
    groups = first[of_text.reshape(-1)]  # the first row that says the same
    given = np.full(len(texts), -1) if labels is None else np.asarray(labels)
    neighbours = nearest(embeddings)
    is_close, agrees = neighbours.cosines >= same, given[neighbours.rows] == given[:, None]
    is_before = neighbours.rows < np.arange(len(texts))[:, None]
    repeated, contradicted = repeats(groups, given)
    flags = {
        CONFLICT: contradicted | (is_close & ~agrees).any(axis=1),
        DUPLICATE: repeated | (is_close & agrees & is_before).any(axis=1),
        OUTLIER: _far(neighbours.cosines[:, 0]),
    }
    leaks = np.zeros(len(texts), dtype=bool)
    if others is not None:
        leaks = nearest(embeddings, 1, others=others).cosines[:, 0] >= same
        flags[DUPLICATE] |= leaks
    suggested, margins, probabilities = given.copy(), *np.full((2, len(texts)), np.nan)
    texts_of_class = np.bincount(np.unique(np.stack([given, groups]), axis=1)[0] + 1)[1:]
    judged = np.flatnonzero(texts_of_class[given] > 1) if labels is not None else np.array([], dtype=int)
    if len(np.unique(given[judged])) > 1:
        found = out_of_fold(embeddings, given, groups, judged)
        suggested[judged], margins[judged], probabilities[judged] = _judge(found, given[judged])
    flags = {LABEL: margins >= WRONG} | flags
    singles = np.flatnonzero(texts_of_class == 1).tolist()
    return Findings(given, suggested, margins, probabilities, neighbours, flags, singles, leaks)


def count_suspects(features: np.ndarray, labels: np.ndarray) -> int:
    """How many labels look wrong, about: of more than `MOST_COUNTED` texts, so many are drawn and stand for all."""
    total = len(labels)
    drawn = np.sort(np.random.default_rng(0).permutation(total)[:MOST_COUNTED])
    features, labels = features[drawn], labels[drawn]
    # Equal texts have nearly the same features, whatever they were padded to.
    groups = np.unique(features.round(2), axis=0, return_inverse=True)[1].reshape(-1)
    judged = np.flatnonzero(np.bincount(np.unique(np.stack([labels, groups]), axis=1)[0])[labels] > 1)
    if len(np.unique(labels[judged])) < 2:
        return 0
    _, margins, _ = _judge(out_of_fold(features, labels, groups, judged), labels[judged])
    return round(float((margins >= WRONG).sum()) * total / len(drawn))


def _judge(found: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The likeliest class, the margin and the probability of the label."""
    own, best, margins = found[np.arange(len(labels)), labels], np.empty_like(labels), np.empty(len(labels))
    for start in range(0, len(labels), BLOCK):
        part = slice(start, start + BLOCK)
        block = np.array(found[part])
        best[part] = block.argmax(axis=1)
        block[np.arange(len(block)), labels[part]] = 0
        margins[part] = np.log(block.max(axis=1).clip(SMALLEST)) - np.log(own[part].clip(SMALLEST))
    return best, margins, own


def _far(cosines: np.ndarray) -> np.ndarray:
    """Which cosines are far below the usual ones."""
    below = np.median(cosines) - cosines
    return below > FAR * 1.4826 * max(float(np.median(np.abs(below))), 1e-3)
