"""The sections on texts that a classifier should not answer: out-of-scope texts, and those it is not sure of."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..inference import ModelOutputs
from ..plots.curves import plot_risk_coverage, plot_scope
from ..scope import KEPT_SHARE, scope_scores, scope_table
from ..selective import cut_table, risk_coverage
from .page import Section
from .sections import Evaluated


def scope(
    test: Evaluated,
    known_classes: Sequence[int],
    foreign: ModelOutputs | None,
    trained: Evaluated | None,
    fitted: dict[str, Any] | None,
) -> tuple[list[Section], dict[str, Any]]:
    """
    How well scores separate texts of the `known_classes` (ids) from out-of-scope texts: those in `foreign`, and test
    texts of another class. `trained` are training texts. Empty if there are no out-of-scope texts.
    """
    known = np.isin(test.references, known_classes)
    sources = [(test.outputs.logits[~known], test.outputs.embeddings[~known])]
    sources += [] if foreign is None else [(foreign.logits, foreign.embeddings)]
    logits, embeddings = (np.concatenate(parts) for parts in zip(*sources))
    if not known.any() or not len(logits):
        return [], {}
    rows = None
    if trained is not None:
        inside = np.isin(trained.references, known_classes)
        rows = trained.outputs.embeddings[inside], trained.references[inside]
    scores = scope_scores(test.outputs.logits[known][:, known_classes], test.outputs.embeddings[known], rows)
    strangers = scope_scores(logits[:, known_classes], embeddings, rows)
    table = scope_table(scores, strangers)
    largest, cut = scores["largest_logit"], np.quantile(scores["largest_logit"], 1 - KEPT_SHARE)
    text = f"The cut keeps {KEPT_SHARE:.0%} of the {known.sum():,} texts of a class."
    if fitted:
        cut = fitted["cut"]
        text = (
            f"The cut is that of the class out_of_scope ({fitted['rule']}): {(largest >= cut).mean():.1%} of the "
            f"{known.sum():,} texts of a class keep one, and {(strangers['largest_logit'] < cut).mean():.1%} of the "
            f"{len(logits):,} others are found."
        )
    if trained is None:
        text += " Scores of the embeddings need the training texts: --train_file."
    section = Section(
        "Out of scope",
        f"{text} The classifier itself can carry the first score alone; the last column says what each of the others "
        f"would gain. Figures at {KEPT_SHARE:.0%} are those where so many texts of a class are kept.",
        {"scope": partial(plot_scope, largest, strangers["largest_logit"], float(cut))},
        {"scope": pd.DataFrame(table)},
        {"Texts of a class told from others": table},
        alt=f"Histograms of the largest logit: {known.sum():,} texts of a class, {len(logits):,} others, and the cut.",
    )
    return [section], {"scope": table}


def selective(test: Evaluated, validation: Evaluated | None) -> tuple[Section, dict[str, Any]]:
    """Accuracy over the share of texts that are answered, and the cuts for some accuracies."""
    chosen_on = validation or test
    curve, other = (risk_coverage(split.outputs.logits, split.references) for split in (test, chosen_on))
    table = cut_table(other, curve)
    numbers = pd.DataFrame({"reject_below": curve.cuts, "answered": curve.coverage, "accuracy": curve.accuracy})
    remark = "" if validation is not None else " They were chosen on the very texts they are measured on."
    section = Section(
        "When to ask a person",
        f"Answers below a probability may be left to a person: predict --reject_below says which. The cuts of the "
        f"table were chosen on the {chosen_on.split} split and measured on the {test.split} split.{remark} The area "
        f"over the curve (AURC) is {curve.area:.4f}.",
        {"risk_coverage": partial(plot_risk_coverage, curve)},
        {"risk_coverage": numbers},
        {"The cut for a wanted accuracy": table},
        alt=f"Line of accuracy by share of texts that are answered; {curve.accuracy[-1]:.1%} where all are.",
    )
    return section, {"selective": {"aurc": curve.area, "cuts": table}}
