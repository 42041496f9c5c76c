"""The sections of a report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from transformers import EvalPrediction

from ..calibration import fit_temperature, reliability_bins
from ..confusion import confused_pairs, confusion_counts, most_confused, per_class_table, shown_in_matrix
from ..decisions import decided
from ..inference import ModelOutputs
from ..intervals import metric_intervals, several_labels_intervals
from ..metrics import classification_metrics
from ..plots.curves import plot_reliability, plot_training_curves
from ..plots.embedding_map import plot_embedding_map, project
from ..plots.matrices import plot_confusion_matrix, plot_label_relations
from ..relations import class_means, class_tree, closest_pairs, is_nearly_uniform, label_relations
from .page import Section


CLASSES_HIGHLIGHTED = 10  # classes with their own colour and shape on the map


@dataclass(frozen=True)
class Evaluated:
    """A split and the outputs of the model for it."""

    split: str  # its name
    references: np.ndarray  # true class ids (rows,), or rows of 0 and 1 (rows, num_labels)
    outputs: ModelOutputs
    names: list[str]  # of the classes by id
    texts: Sequence[str] = ()  # raw texts; may be missing

    @property
    def counts(self) -> np.ndarray:
        """Number of texts by true class (row) and predicted class, `(num_labels, num_labels)`."""
        return confusion_counts(self.references, self.predictions, len(self.names))

    @property
    def predictions(self) -> np.ndarray:
        """Predicted class ids `(rows,)`, or rows of 0 and 1."""
        return decided(self.outputs.logits, self.has_several_labels)

    @property
    def has_several_labels(self) -> bool:
        """Whether a text may have several labels."""
        return self.references.ndim == 2

    def of_first(self, classes: int) -> "Evaluated":
        """The texts of the first classes, with outputs as of a classifier without the others."""
        rows, weighting_logits = self.references < classes, self.outputs.weighting_logits
        logits, embeddings = self.outputs.logits[rows, :classes], self.outputs.embeddings[rows]
        outputs = ModelOutputs(logits, embeddings, None if weighting_logits is None else weighting_logits[rows])
        return replace(self, references=self.references[rows], outputs=outputs, names=self.names[:classes], texts=())

    def with_outputs(self, **outputs: Any) -> "Evaluated":
        """The same texts with some other [`ModelOutputs`]."""
        return replace(self, outputs=replace(self.outputs, **outputs))

    def is_confused(self, true: str, predicted: str) -> np.ndarray:
        """Mask `(rows,)` of the texts of class `true` that are predicted as `predicted`; see [`confused_pairs`]."""
        if not self.has_several_labels:
            return (self.references == self.names.index(true)) & (self.predictions == self.names.index(predicted))
        missed, added = self.references > self.predictions, self.predictions > self.references
        is_added = added[:, self.names.index(predicted)] if predicted in self.names else ~added.any(axis=1)
        return missed[:, self.names.index(true)] & is_added


def matrix(values: np.ndarray, names: list[str], order: list[int]) -> pd.DataFrame:
    """A class by class matrix as a table, in the given order, with the names of the rows in the first column."""
    shown = [names[index] for index in order]
    table = pd.DataFrame(values[np.ix_(order, order)], pd.Index(shown, name="true"), shown)
    return table.reset_index(allow_duplicates=True)  # a class may be called "true"


def results(test: Evaluated) -> tuple[Section, dict[str, Any]]:
    """Accuracy and F1, per class, and the most frequent errors."""
    metrics = classification_metrics(EvalPrediction(test.outputs.logits, test.references))
    per_class = per_class_table(test.references, test.predictions, test.names)
    pairs = confused_pairs(test.references, test.predictions, test.names, top=10)
    errors = [pair._asdict() for pair in pairs]
    numbers = {"per_class": pd.DataFrame(per_class)}
    numbers["confused_pairs"] = pd.DataFrame(errors, columns=["true", "predicted", "count", "share"])
    title = f"{test.split.capitalize()} split, {len(test.references):,} texts"
    if test.has_several_labels:
        intervals = several_labels_intervals(test.outputs.logits, test.references)
    else:
        intervals = metric_intervals(test.counts)
    written = {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in intervals.items()}
    rows = [
        {"metric": name, "value": value, "95 % interval": written.get(name, "")} for name, value in metrics.items()
    ]
    tables = {title: rows, "The most frequent errors": errors, "Per class": per_class}
    facts = {"metrics": metrics, "intervals": intervals, "per_class": per_class, "confused_pairs": errors}
    return Section("Results", numbers=numbers, tables=tables), facts


def confusion(test: Evaluated) -> Section:
    """The confusion matrix; with many classes, only those with the most errors."""
    counts, order = test.counts, class_tree(label_relations(test.outputs.logits, test.references)).order
    shares = class_means(np.eye(len(order))[test.predictions], test.references, len(order))
    shown, what = shown_in_matrix(counts, order), "Each row holds the texts of one class, and adds up to 100%."
    if len(shown) < len(order):
        what = f"The {len(shown)} of {len(order)} classes with the most errors; the file holds all."
    pairs = confused_pairs(test.references, test.predictions, test.names, top=1)
    largest = "".join(f" The largest error: {one.true} read as {one.predicted}, {one.share:.0%}." for one in pairs)
    diagonal = np.diag(shares)[shown]
    return Section(
        "Confusion matrix",
        f"{what} Classes that the classifier finds similar are neighbours. The file holds numbers of texts.",
        {"confusion_matrix": partial(plot_confusion_matrix, shares, test.names, shown)},
        {"confusion_matrix": matrix(counts, test.names, order)},
        alt=f"Heat map of {len(shown)} true by {len(shown)} predicted classes. From {np.nanmin(diagonal):.0%} to "
        f"{np.nanmax(diagonal):.0%} of the texts of a class are read right.{largest}",
    )


def relations(test: Evaluated, validation: Evaluated | None, remark: str) -> Section:
    """The similarity of the classes by the weighting network if it has learned any, else by the classifier."""
    weighting_logits = test.outputs.weighting_logits
    weights = None if weighting_logits is None else label_relations(weighting_logits, test.references)
    if weights is not None and not is_nearly_uniform(weights):
        quantity = "weight"
        text = (
            "What the label-aware loss has learned about the classes: the weight that the weighting network gives to "
            "each class, averaged over the texts of a class. The larger the weight, the closer are the two classes, "
            f"and the harder the loss pushed them apart. {remark}"
        )
    else:
        if weights is not None:
            remark = (
                "Not learned yet: the weighting network gives all classes almost the same weight. Its mean weights "
                f"are between {np.nanmin(weights):.3f} and {np.nanmax(weights):.3f}; equal weights would be "
                f"{1 / len(weights):.3f}. {remark}"
            )
        shown, quantity = validation or test, "probability"
        weights = label_relations(shown.outputs.logits, shown.references)
        if is_nearly_uniform(weights):
            return Section("Label relations", f"{remark} Nor does the classifier tell the classes apart yet.")
        text = (
            f"{remark} Shown instead: the probability that the classifier gives to each class, averaged over the "
            f"{shown.split} texts of a class. The larger it is, the more similar are the two classes."
        )
    tree, closest = class_tree(weights), closest_pairs(weights, test.names)
    return Section(
        "Label relations",
        f"{text} The distance in the tree is minus the logarithm of the mean {quantity} in both directions.",
        {"label_relations": partial(plot_label_relations, weights, test.names, tree, quantity=quantity)},
        {"label_relations": matrix(weights, test.names, tree.order)},
        {"The closest classes": closest},
        alt="Heat map of the classes beside their tree. The closest: "
        + "; ".join(f"{pair['label']} and {pair['other']}" for pair in closest[:3]),
    )


def embeddings(test: Evaluated) -> Section:
    """The embeddings in two dimensions, or why there are none."""
    if len(test.references) < 3:
        return Section("Embeddings", "A map needs at least three texts.")
    points, axis_labels = project(test.outputs.embeddings)
    true, predicted = ([test.names[index] for index in ids] for ids in (test.references, test.predictions))
    x, y = points.T
    numbers = pd.DataFrame({"row": range(len(x)), "x": x, "y": y, "true": true, "predicted": predicted})
    confused = most_confused(test.counts, CLASSES_HIGHLIGHTED)
    few = len(test.names) <= CLASSES_HIGHLIGHTED
    told_apart = "" if few else f"Colours and shapes tell the {CLASSES_HIGHLIGHTED} most confused classes apart."
    return Section(
        "Embeddings",
        f"One point for each text, names at the centroids of the classes. {told_apart} Two dimensions show "
        "only a part of the distances.",
        {"embedding_map": partial(plot_embedding_map, points, axis_labels, test.references, test.names, confused)},
        {"embedding_map": numbers},
        alt=f"Scatter plot of {len(points):,} texts of {len(test.names)} classes. Told apart by colour and shape: "
        + ", ".join(test.names[label] for label in confused),
    )


def calibration(
    test: Evaluated, validation: Evaluated | None, remark: str = "", folded: float = 1.0, refits: bool = False
) -> tuple[Section, dict[str, Any]]:
    """
    Calibration on the test split: before and after the temperature by which the logits were divided (`folded`) or, if
    they were not, before and after one that is fitted on the validation split, if that helps. With `refits`, such a
    one takes the place of that by which they were divided, if it is better.
    """
    logits, references, was_folded = test.outputs.logits * folded, test.references, folded != 1
    if was_folded and refits and validation is not None:
        better = fit_temperature(validation.outputs.logits * folded, validation.references)
        errors = [reliability_bins(logits, references, each).calibration_error for each in (folded, better)]
        folded = better if errors[1] < errors[0] else folded
    panels = {"before": reliability_bins(logits, references)}
    facts: dict[str, Any] = {"error_before": panels["before"].calibration_error, "folded": was_folded}
    if was_folded:
        panels["after"] = reliability_bins(logits, references, folded)
        facts |= {"temperature": folded, "error_after": panels["after"].calibration_error}
        text = (
            f"After training, the logits were divided by the temperature {folded:.3f}, fitted on validation texts: "
            "the classifier gives the probabilities at the right. Predictions stayed the same."
        )
    elif validation is None:
        text = "A temperature is fitted on a validation split, and there is none: give --validation_file."
    else:
        temperature = fit_temperature(validation.outputs.logits, validation.references)
        after = reliability_bins(logits, references, temperature)
        facts |= {"temperature": temperature, "error_after": after.calibration_error}
        fitted = f"the temperature {temperature:.3f}, fitted on {len(validation.references):,} validation texts"
        if facts["error_after"] < facts["error_before"]:
            panels["after"] = after
            text = f"Divided by {fitted}, the logits give the probabilities at the right. Predictions stay the same."
        else:
            text = (
                f"Temperature scaling does not help: divided by {fitted}, the logits would have a calibration error "
                f"of {facts['error_after']:.4f} instead of {facts['error_before']:.4f}."
            )
    as_it_was = "Before" if was_folded else "As it is"
    titles = {"before": "Before the thresholds" if remark else as_it_was, "after": "After temperature scaling"}
    measured = "; ".join(
        f"{titles[name]}: calibration error {bins.calibration_error:.3f}" for name, bins in panels.items()
    )
    columns = ["scaling", "from", "to", "texts", "confidence", "accuracy"]
    rows = (
        (name, *row)
        for name, bins in panels.items()
        for row in zip(bins.edges[:-1], bins.edges[1:], bins.counts, bins.confidence, bins.accuracy)
    )
    section = Section(
        "Calibration",
        f"{remark}{text} The calibration error is the mean distance of the bars from the diagonal over the texts.",
        {"reliability": partial(plot_reliability, {titles[name]: bins for name, bins in panels.items()})},
        {"reliability": pd.DataFrame(rows, columns=columns)},
        alt=f"Bars of accuracy by the probability of the predicted class. {measured}.",
    )
    return section, facts


def training_curves(log_history: list[dict[str, Any]]) -> Section:
    """The training curves, or why there are none."""
    if not any("loss" in line for line in log_history):
        return Section("Training", "No trainer_state.json with a logged loss is in the folder or its checkpoints.")
    losses = [line["loss"] for line in log_history if "loss" in line]
    return Section(
        "Training",
        "With a contrastive objective the loss is alpha times the cross-entropies plus 1 - alpha times the "
        "contrastive loss, which may be negative.",
        {"training_curves": partial(plot_training_curves, log_history)},
        {"training_curves": pd.DataFrame(log_history).select_dtypes("number")},
        alt=f"Lines by step: the training loss goes from {losses[0]:.3g} to {losses[-1]:.3g} in {len(losses)} points.",
    )
