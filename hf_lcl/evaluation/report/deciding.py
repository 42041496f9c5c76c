"""The sections on what a classifier should not answer: texts of no class, and answers that it is not sure of."""

from typing import Any

import numpy as np

from .. import plots
from ..inference import ModelOutputs
from ..scope import KEPT, scope_scores, scope_table, split_by_scope
from ..selective import cut_table, risk_coverage
from .page import Section
from .sections import Evaluated


def decisions(test: Evaluated, validation: Evaluated | None, *of_scope: Any) -> tuple[list[Section], dict[str, Any]]:
    """Both sections, the second where there are texts of no class, and what they say; see [`scope`]."""
    asked, cuts = selective(test, validation)
    told, scores = scope(test, *of_scope)
    return [asked, *([told] if told else [])], cuts | scores


def scope(
    test: Evaluated,
    num_known: int,
    foreign: ModelOutputs | None,
    trained: tuple[np.ndarray, np.ndarray] | None,
    fitted: dict[str, Any] | None,
) -> tuple[Section | None, dict[str, Any]]:
    """
    What tells texts of the first `num_known` classes from others: those of `foreign`, and of the test split that are
    of another class. `trained` are embeddings and class ids of training texts. Nothing where there are no others.
    """
    known, others = split_by_scope(test.references, num_known)
    sources = [(test.outputs.logits[others], test.outputs.embeddings[others])]
    sources += [] if foreign is None else [(foreign.logits, foreign.embeddings)]
    logits, embeddings = (np.concatenate(parts) for parts in zip(*sources))
    if not len(known) or not len(logits):
        return None, {}
    scores = scope_scores(test.outputs.logits[known, :num_known], test.outputs.embeddings[known], trained)
    strangers = scope_scores(logits[:, :num_known], embeddings, trained)
    table = scope_table(scores, strangers)
    largest, cut = scores["largest_logit"], np.quantile(scores["largest_logit"], 1 - KEPT)
    text = f"The cut keeps {KEPT:.0%} of the {len(known):,} texts of a class."
    if fitted:
        cut = fitted["cut"]
        text = (
            f"The cut is that of the class out_of_scope ({fitted['rule']}): {(largest >= cut).mean():.1%} of the "
            f"{len(known):,} texts of a class keep one, and {(strangers['largest_logit'] < cut).mean():.1%} of the "
            f"{len(logits):,} others are found."
        )
    if trained is None:
        text += " Scores of the embeddings need the training texts: --train_file."
    section = Section(
        "Out of scope",
        f"{text} The classifier itself can carry the first score alone; the last column says what each of the others "
        f"would gain. Figures at {KEPT:.0%} are those where so many texts of a class are kept.",
        test.draw("scope", plots.plot_scope, largest, strangers["largest_logit"], float(cut)),
        [test.write_csv("scope.csv", list(table[0]), (row.values() for row in table))],
        {"Texts of a class told from others": table},
        alt=f"Histograms of the largest logit: {len(known):,} texts of a class, {len(logits):,} others, and the cut.",
    )
    return section, {"scope": table}


def selective(test: Evaluated, validation: Evaluated | None) -> tuple[Section, dict[str, Any]]:
    """Accuracy over the share of texts that are answered, and the cuts for some accuracies."""
    logits, references = test.outputs.logits, test.references
    curve, chosen_on = risk_coverage(logits, references), validation or test
    on_chosen = risk_coverage(chosen_on.outputs.logits, chosen_on.references)
    table = cut_table(on_chosen, logits, references)
    points = zip(curve.cuts, curve.coverage, curve.accuracy)
    remark = "" if validation is not None else " They were chosen on the very texts they are measured on."
    section = Section(
        "When to ask a person",
        f"Answers below a probability may be left to a person: predict --reject_below says which. The cuts of the "
        f"table were chosen on the {chosen_on.split} split and measured on the {test.split} split.{remark} The area "
        f"over the curve (AURC) is {curve.area:.4f}.",
        test.draw("risk_coverage", plots.plot_risk_coverage, curve),
        [test.write_csv("risk_coverage.csv", ["reject_below", "answered", "accuracy"], points)],
        {"The cut for a wanted accuracy": table} if table else {},
        alt=f"Line of accuracy by share of texts that are answered; {curve.accuracy[-1]:.1%} where all are.",
    )
    return section, {"selective": {"aurc": curve.area, "cuts": table}}
