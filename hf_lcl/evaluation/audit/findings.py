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
SAME_TEXT_COSINE = 0.95  # the cosine from which on two texts say the same
OUTLIER_DEVIATIONS = 3.5  # an outlier's nearest text is farther than usual by so many (robust) standard deviations
SMALLEST = np.float32(1e-12)  # of probabilities


def same_words(text: str) -> str:
    """A text without capitals and needless blanks: equal for texts that say the same word for word."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class Findings:
    """What was found in a file; arrays have one entry per row."""

    labels: np.ndarray  # class ids as given; -1 where the file has no labels
    suggested: np.ndarray  # the likeliest class, of a classifier that has not seen the text
    # By how much the logit of the likeliest other class is above that of the label: 2.3 says that it is ten times as
    # likely; NaN for a class with a single text.
    margins: np.ndarray
    probabilities: np.ndarray  # of the label; NaN likewise
    neighbours: Neighbours
    flags: dict[str, np.ndarray]  # kind of fault to which rows have it
    singles: list[int]  # classes with a single text, of whose label nothing can be said
    leaks: np.ndarray  # which rows are near-equal to one of another split

    @property
    def order(self) -> np.ndarray:
        """The rows, those first whose labels are wrong most surely."""
        return np.argsort(-np.nan_to_num(self.margins, nan=-np.inf), kind="stable")

    def flag(self, row: int) -> str:
        """The faults of a row, with blanks between."""
        return " ".join(name for name, has_it in self.flags.items() if has_it[row])

    @property
    def looks_like(self) -> np.ndarray:
        """The class that is suggested where a label looks wrong, and that of the label elsewhere."""
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
    Looks for labels that are wrong, texts that repeat another or stand under several labels, and outliers.

    Embeddings have length 1 `(rows, hidden)`. Without labels `(rows,)`, and with those of a single class, no label is
    judged. Equal texts, but for capitals and blanks, are held out together; from the cosine `same` on two are
    near-equal. A row that is near-equal to one of `others`, the embeddings of another split, is a duplicate.
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
    suggested, margins, probabilities, singles = given, *np.full((2, len(texts)), np.nan), np.array([], dtype=int)
    if labels is not None:
        counts = _texts_of_class(given, groups)
        suggested, margins, probabilities = _judge(embeddings, given, groups, counts)
        singles = np.flatnonzero(counts == 1)
    flags = {LABEL: margins >= WRONG} | flags
    return Findings(given, suggested, margins, probabilities, neighbours, flags, singles.tolist(), leaks)


def count_suspects(features: np.ndarray, labels: np.ndarray) -> int:
    """How many labels look wrong, about: of more than `MOST_COUNTED` texts, so many are drawn and stand for all."""
    total = len(labels)
    drawn = np.sort(np.random.default_rng(0).permutation(total)[:MOST_COUNTED])
    features, labels = features[drawn], labels[drawn]
    # Equal texts have nearly the same features, whatever they were padded to.
    groups = np.unique(features.round(2), axis=0, return_inverse=True)[1].reshape(-1)
    _, margins, _ = _judge(features, labels, groups, _texts_of_class(labels, groups))
    return round(float((margins >= WRONG).sum()) * total / len(drawn))


def _texts_of_class(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """How many texts each class has that do not say the same."""
    num_labels = labels.max() + 1
    return np.bincount(np.unique(groups * num_labels + labels) % num_labels)


def _judge(
    embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    The likeliest class, the margin and the probability of the label, as [`Findings`] has them, given how many texts
    each class has.
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
    """Which cosines are far below the usual ones."""
    below = np.median(cosines) - cosines
    return below > OUTLIER_DEVIATIONS * 1.4826 * max(float(np.median(np.abs(below))), 1e-3)
