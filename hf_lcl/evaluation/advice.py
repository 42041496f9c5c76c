"""What to do about the errors of a classifier: relabel, merge, collect."""

import numpy as np

from ..model.classes import OUT_OF_SCOPE
from .confusion import confusion_counts
from .intervals import share_interval


# An error with at least this probability suggests that the label is wrong.
SURE_PROBABILITY = 0.9
# Two classes may be one if at least this share and this number of their texts are predicted as the other class.
MERGED_SHARE, LEAST_TEXTS = 0.15, 5
MOST_OF_A_KIND = 3  # classes or pairs that are named per kind of advice
FEW_TEST_TEXTS = 10


def advice(references: np.ndarray, probabilities: np.ndarray, names: list[str]) -> list[str]:
    """
    Sentences on what would help most, with the numbers behind them, from the true class ids `(rows,)` and the
    probabilities `(rows, num_labels)` of a classifier.
    """
    predicted = probabilities.argmax(axis=1)
    counts = confusion_counts(references, predicted, len(names))
    support, right, texts = counts.sum(axis=1), np.diag(counts), len(references)
    found = []
    wrong = predicted != references
    sure = int((wrong & (probabilities.max(axis=1) >= SURE_PROBABILITY)).sum())
    if sure:
        found.append(
            f"Relabel: {sure:,} of the {int(wrong.sum()):,} errors have a probability of {SURE_PROBABILITY:.0%} "
            "or more. Read these texts first, and correct the labels that are wrong."
        )
    both = np.triu(counts + counts.T, k=1)
    shares = both / (support[:, None] + support).clip(min=1)
    pairs = np.argwhere((shares >= MERGED_SHARE) & (both >= LEAST_TEXTS) & (counts > 0) & (counts.T > 0))
    for one, other in sorted(pairs, key=lambda pair: -shares[tuple(pair)])[:MOST_OF_A_KIND]:
        found.append(
            f"Merge or define: {both[one, other]} of the {support[one] + support[other]:,} texts of {names[one]} and "
            f"{names[other]} are read as the other. Write down what tells the two apart, or make them one class."
        )
    rare = [label for label in range(len(names)) if 0 < support[label] < texts / len(names)]
    worst = [label for label in rare if share_interval(right[label], support[label])[1] < right.sum() / texts]
    if worst:
        worst.sort(key=lambda label: right[label] / support[label])
        listed = ", ".join(f"{names[label]} ({right[label]} of {support[label]})" for label in worst[:MOST_OF_A_KIND])
        found.append(f"Collect training texts of rare classes that are read right less often than the rest: {listed}.")
    judged = [label for label, name in enumerate(names) if name != OUT_OF_SCOPE]  # which may have no texts of its own
    if few := [label for label in judged if support[label] < FEW_TEST_TEXTS]:
        listed = ", ".join(f"{names[label]} ({support[label]})" for label in few[:MOST_OF_A_KIND])
        more = f" and {len(few) - MOST_OF_A_KIND} others" if len(few) > MOST_OF_A_KIND else ""
        found.append(f"Collect test texts: {listed}{more} have fewer than {FEW_TEST_TEXTS}, too few to judge them by.")
    return found or ["Nothing stands out: the errors are few, or spread over all classes."]
