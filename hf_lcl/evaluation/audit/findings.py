"""Faults in the rows of a file: labels that look wrong, duplicates, conflicting labels, outliers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.repeats import repeats
from .folds import BLOCK, out_of_fold
from .neighbours import Neighbours, nearest


LABEL, DUPLICATE, CONFLICT, OUTLIER = "label?", "duplicate", "conflict", "outlier"
WRONG = np.log(5)  # a label looks wrong from this margin on: another class is five times as likely
MOST_COUNTED = 5000
SAME_TEXT_COSINE = 0.95  # two texts are near-equal from this cosine on
OUTLIER_DEVIATIONS = 3.5  # robust standard deviations by which an outlier's nearest text is farther than the median
SMALLEST = np.float32(1e-12)  # lower bound of probabilities


def same_words(text: str) -> str:
    """A text in lower case with single blanks, to compare texts word for word."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class Findings:
    """What was found in a file; arrays have one entry per row."""

    labels: np.ndarray  # class ids as given; -1 where the file has no labels
    suggested: np.ndarray  # the likeliest class by a classifier that was not trained on the text
    # The log-probability of the likeliest other class minus that of the label: 2.3 means that it is ten times as
    # likely; NaN for a class with a single text.
    margins: np.ndarray
    probabilities: np.ndarray  # of the label; NaN likewise
    neighbours: Neighbours
    flags: dict[str, np.ndarray]  # kind of fault to a mask of the rows that have it
    singles: list[int]  # classes with a single text, whose label cannot be judged
    leaks: np.ndarray  # mask of the rows that are near-equal to one of another split

    @property
    def order(self) -> np.ndarray:
        """The rows by descending margin: the labels that look most wrong first."""
        return np.argsort(-np.nan_to_num(self.margins, nan=-np.inf), kind="stable")

    def flag(self, row: int) -> str:
        """The faults of a row, with blanks between."""
        return " ".join(name for name, has_it in self.flags.items() if has_it[row])

    @property
    def looks_like(self) -> np.ndarray:
        """The suggested class of rows whose label looks wrong, else the label."""
        return np.where(self.flags[LABEL], self.suggested, self.labels)


def look_at(
    embeddings: np.ndarray,
    labels: np.ndarray | None,
    texts: Sequence[str],
    *,
    same: float = SAME_TEXT_COSINE,
    others: np.ndarray | None = None,
) -> Findings:
    """
    Finds labels that look wrong, duplicates, texts with conflicting labels, and outliers.

    Embeddings have length 1 `(rows, hidden)`. Without labels `(rows,)`, or with those of a single class, no label is
    judged. Texts that are equal up to capitals and blanks are held out together; near-equal texts have a cosine of at
    least `same`. A row that is near-equal to one of `others`, the embeddings of another split, is a duplicate.
    """
    # Hashes of a million texts take 8 MB, and the probability of any collision among them is 3e-8.
    hashes = np.array([hash(same_words(text)) for text in texts])
    _, first, of_text = np.unique(hashes, return_index=True, return_inverse=True)
    groups = first[of_text.reshape(-1)]  # the first row with the same words
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
    suggested, margins, probabilities, singles = given, *np.full((2, len(texts)), np.nan), np.array([], dtype=int)
    if labels is not None:
        counts = _texts_of_class(given, groups)
        suggested, margins, probabilities = _judge(embeddings, given, groups, counts)
        singles = np.flatnonzero(counts == 1)
    flags = {LABEL: margins >= WRONG} | flags
    return Findings(given, suggested, margins, probabilities, neighbours, flags, singles.tolist(), leaks)


def count_suspects(features: np.ndarray, labels: np.ndarray) -> int:
    """Number of labels that look wrong; with more than `MOST_COUNTED` texts, estimated from a sample of this size."""
    total = len(labels)
    drawn = np.sort(np.random.default_rng(0).permutation(total)[:MOST_COUNTED])
    features, labels = features[drawn], labels[drawn]
    # Padding changes the features of equal texts slightly: rounding makes them equal.
    groups = np.unique(features.round(2), axis=0, return_inverse=True)[1].reshape(-1)
    _, margins, _ = _judge(features, labels, groups, _texts_of_class(labels, groups))
    return round(float((margins >= WRONG).sum()) * total / len(drawn))


def _texts_of_class(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Number of distinct texts of each class."""
    num_labels = labels.max() + 1
    return np.bincount(np.unique(groups * num_labels + labels) % num_labels)


def _judge(
    embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    The likeliest class, the margin and the probability of the label, as in [`Findings`]; `counts` are the numbers of
    distinct texts of each class.
    """
    suggested, margins, probabilities = labels.copy(), *np.full((2, len(labels)), np.nan)
    judged = np.flatnonzero(counts[labels] > 1)
    if len(np.unique(labels[judged])) < 2:
        return suggested, margins, probabilities
    found = out_of_fold(embeddings, labels, groups, judged)
    for start in range(0, len(judged), BLOCK):
        rows, block = judged[start : start + BLOCK], np.array(found[start : start + BLOCK])
        own = np.arange(len(rows)), labels[rows]
        suggested[rows], probabilities[rows] = block.argmax(axis=1), block[own]
        block[own] = 0
        margins[rows] = np.log(block.max(axis=1).clip(SMALLEST)) - np.log(probabilities[rows].clip(SMALLEST))
    return suggested, margins, probabilities


def _far(cosines: np.ndarray) -> np.ndarray:
    """Mask of the cosines that are far below their median."""
    below = np.median(cosines) - cosines
    return below > OUTLIER_DEVIATIONS * 1.4826 * max(float(np.median(np.abs(below))), 1e-3)
