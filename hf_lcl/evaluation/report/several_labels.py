"""The sections of a report that replace others for multi-label classifiers."""

from functools import partial

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from ..decisions import probabilities
from ..plots.curves import plot_thresholds
from ..plots.matrices import plot_confusion_matrix
from ..relations import class_means, class_tree
from .page import Section
from .sections import Evaluated, matrix


THRESHOLDS = np.linspace(0.02, 0.98, 49)


def labels_together(test: Evaluated, learned: Evaluated) -> list[Section]:
    """Label co-occurrence, and the mean predicted probabilities for the texts of each label."""
    together = class_means(test.references, test.references, len(test.names))
    likely = class_means(probabilities(learned.outputs.logits, several=True), test.references, len(test.names))
    order = class_tree(together).order

    def section(name: str, shares: np.ndarray, title: str, text: str, columns: str) -> Section:
        plot = partial(plot_confusion_matrix, shares, test.names, order, columns=columns, title=title)
        alt = f"Heat map of {len(order)} by {len(order)} labels: {columns}, of the texts of the label of a row."
        return Section(title, text, {name: plot}, {name: matrix(shares, test.names, order)}, alt=alt)

    return [
        section(
            "label_cooccurrence",
            together,
            "Labels that stand together",
            "Each row holds the texts that have a label, and the share of them that also has each other one.",
            "also has",
        ),
        section(
            "label_probabilities",
            likely,
            "What the classifier gives",
            "The mean probability of each label for the texts that have the one of the row. Where it is much larger "
            "than in the picture above, the classifier takes one label for the other.",
            "mean probability",
        ),
    ]


def thresholds(test: Evaluated, are_folded: bool) -> Section:
    """F1 by a common threshold of all labels; `are_folded`: the threshold of each label is folded to 0.5 already."""
    found, references = probabilities(test.outputs.logits, several=True), test.references.astype(int)
    micro, macro = (
        np.array([f1_score(references, found > cut, average=average, zero_division=0) for cut in THRESHOLDS])
        for average in ("micro", "macro")
    )
    best = int(macro.argmax())
    what = "score, with the threshold of the label folded in," if are_folded else "probability"
    remedy = "" if are_folded else "; --fold_thresholds chooses one for each label on the validation texts"
    return Section(
        "Thresholds",
        f"A label is given to a text where its {what} is above 0.5. One threshold for all labels does best in macro "
        f"F1 at {THRESHOLDS[best]:.2f} on these texts ({macro[best]:.4f}){remedy}.",
        {"thresholds": partial(plot_thresholds, THRESHOLDS, {"micro F1": micro, "macro F1": macro})},
        {"thresholds": pd.DataFrame({"threshold": THRESHOLDS, "micro_f1": micro, "macro_f1": macro})},
        alt=f"Lines of F1 by threshold: macro F1 is {macro.min():.3f} to {macro.max():.3f}.",
    )
