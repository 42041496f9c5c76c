"""The sections of a report that stand for others where texts have several labels."""

import numpy as np

from .. import plots
from ..decisions import probabilities
from ..relations import class_tree
from .page import Section
from .sections import Evaluated


THRESHOLDS = np.linspace(0.02, 0.98, 49)


def together(test: Evaluated) -> Section:
    """Which labels share texts."""
    return _by_label(
        test,
        "label_cooccurrence",
        test.references.astype(float),
        "Labels that stand together",
        "Each row holds the texts that have a label, and the share of them that also has each other one.",
        "also has",
    )


def given(test: Evaluated) -> Section:
    """What the classifier finds likely for the texts of each label."""
    return _by_label(
        test,
        "label_probabilities",
        probabilities(test.outputs.logits, several=True),
        "What the classifier gives",
        "The mean probability of each label for the texts that have the one of the row. Where it is much larger than "
        "in the picture above, the classifier takes one label for the other.",
        "mean probability",
    )


def _by_label(test: Evaluated, name: str, values: np.ndarray, title: str, text: str, columns: str) -> Section:
    references = test.references.astype(float)
    counts = references.sum(axis=0)[:, None]
    with np.errstate(invalid="ignore"):  # a label without texts has no shares
        shares, own = (references.T @ of / counts for of in (values, references))
    order = class_tree(np.nan_to_num(own)).order
    picture = test.draw(name, plots.plot_confusion_matrix, shares, test.names, order, columns=columns, title=title)
    alt = f"Heat map of {len(order)} by {len(order)} labels: {columns}, of the texts of the label of a row."
    return Section(title, text, picture, [test.write_matrix(f"{name}.csv", shares, order)], alt=alt)


def thresholds(test: Evaluated, are_folded: bool) -> Section:
    """F1 by the threshold of all labels; `are_folded` is whether each label has its own at 0.5 already."""
    found, references = probabilities(test.outputs.logits, several=True), test.references > 0
    given = found[None] > THRESHOLDS[:, None, None]
    right, wrong = (given & references).sum(axis=1), (given ^ references).sum(axis=1)  # (thresholds, labels)
    micro = 2 * right.sum(axis=1) / (2 * right.sum(axis=1) + wrong.sum(axis=1)).clip(min=1)
    macro = (2 * right / (2 * right + wrong).clip(min=1)).mean(axis=1)
    best = int(macro.argmax())
    what = "score, with the threshold of the label folded in," if are_folded else "probability"
    remedy = "" if are_folded else "; --fold_thresholds chooses one for each label on the validation texts"
    return Section(
        "Thresholds",
        f"A label is given to a text where its {what} is above 0.5. One threshold for all labels does best in macro "
        f"F1 at {THRESHOLDS[best]:.2f} on these texts ({macro[best]:.4f}){remedy}.",
        test.draw("thresholds", plots.plot_thresholds, THRESHOLDS, {"micro F1": micro, "macro F1": macro}),
        [test.write_csv("thresholds.csv", ["threshold", "micro_f1", "macro_f1"], zip(THRESHOLDS, micro, macro))],
        alt=f"Lines of F1 by threshold: macro F1 is {macro.min():.3f} to {macro.max():.3f}.",
    )
