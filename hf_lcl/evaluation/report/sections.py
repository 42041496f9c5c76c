"""The sections of a report: each function writes pictures and numbers into the folder and returns its section."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from transformers import EvalPrediction

from ...support.files import write_csv
from ..calibration import fit_temperature, reliability_bins
from ..confusion import confused_pairs, confusion_counts, most_confused, per_class_table, shown_in_matrix
from ..decisions import decided
from ..inference import ModelOutputs
from ..intervals import metric_intervals, several_labels_intervals
from ..metrics import classification_metrics
from ..plots.curves import plot_reliability, plot_training_curves
from ..plots.embedding_map import plot_embedding_map, project
from ..plots.matrices import plot_confusion_matrix, plot_label_relations
from ..plots.theme import save_picture
from ..relations import class_means, class_tree, closest_pairs, is_nearly_uniform, label_relations
from .page import Section


HIGHLIGHTED = 10  # classes that the map tells apart


@dataclass(frozen=True)
class Evaluated:
    """A split and the outputs of the model for it."""

    split: str  # its name
    references: np.ndarray  # true class ids (rows,), or rows of 0 and 1 (rows, num_labels)
    outputs: ModelOutputs
    names: list[str]  # of the classes by id
    folder: Path  # for pictures and numbers
    texts: Sequence[str] = ()  # as they are read by people; may be missing

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
        """The texts of the first classes, as of a classifier without the others."""
        rows, outputs = self.references < classes, self.outputs
        outputs = replace(outputs, logits=outputs.logits[rows, :classes], embeddings=outputs.embeddings[rows])
        return replace(self, references=self.references[rows], outputs=outputs, names=self.names[:classes], texts=())

    def with_logits(self, logits: np.ndarray) -> "Evaluated":
        """The same texts with other logits."""
        return replace(self, outputs=replace(self.outputs, logits=logits))

    @property
    def is_right(self) -> np.ndarray:
        """Of each text, whether its class, or all its labels, are those that were predicted, `(rows,)`."""
        return (self.predictions == self.references).reshape(len(self.references), -1).all(axis=1)

    def is_confused(self, true: str, predicted: str) -> np.ndarray:
        """Of each text, whether it has one class and got the other, as in [`confused_pairs`], `(rows,)`."""
        missed = self.names.index(true)
        added = self.names.index(predicted) if predicted in self.names else -1
        if not self.has_several_labels:
            return (self.references == missed) & (self.predictions == added)
        wrong, given = self.predictions != self.references, self.predictions > 0
        is_added = ~(wrong & given).any(axis=1) if added < 0 else (wrong & given)[:, added]
        return (wrong & ~given)[:, missed] & is_added

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
        """Writes a table into the folder and returns its name; NaN is an empty cell."""
        write_csv(self.folder / name, header, ([_cell(value) for value in row] for row in rows))
        return name

    def write_matrix(self, name: str, values: np.ndarray, order: list[int]) -> str:
        """Writes a matrix of classes by classes into the folder and returns its name."""
        names = [self.names[index] for index in order]
        rows = zip(names, values[np.ix_(order, order)])
        return self.write_csv(name, ["true", *names], ([label, *row] for label, row in rows))

    def draw(self, name: str, plot: Callable[..., Figure], *args: Any, **options: Any) -> str:
        """Draws `plot(*args, theme=theme)` in both themes into the folder and returns its name."""
        save_picture(lambda theme: plot(*args, theme=theme, **options), self.folder, name)
        return name


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value


def results(test: Evaluated) -> tuple[Section, dict[str, Any]]:
    """Accuracy and F1, per class, and the most frequent errors."""
    metrics = classification_metrics(EvalPrediction(test.outputs.logits, test.references))
    per_class = per_class_table(test.references, test.predictions, test.names)
    pairs = confused_pairs(test.references, test.predictions, test.names, top=10)
    errors = [pair._asdict() for pair in pairs]
    files = [
        test.write_csv("per_class.csv", list(per_class[0]), (row.values() for row in per_class)),
        test.write_csv("confused_pairs.csv", ["true", "predicted", "count", "share"], pairs),
    ]
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
    return Section("Results", tables=tables, files=files), facts


def confusion(test: Evaluated) -> Section:
    """The confusion matrix; of many classes, of those with the most errors."""
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
        test.draw("confusion_matrix", plot_confusion_matrix, shares, test.names, shown),
        [test.write_matrix("confusion_matrix.csv", counts, order)],
        alt=f"Heat map of {len(shown)} true by {len(shown)} predicted classes. From {np.nanmin(diagonal):.0%} to "
        f"{np.nanmax(diagonal):.0%} of the texts of a class are read right.{largest}",
    )


def relations(
    test: Evaluated, validation: Evaluated | None, weighting_logits: np.ndarray | None, remark: str
) -> Section:
    """How close the classes are: to the weighting network if it has learned that, else to the classifier."""
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
        test.draw("label_relations", plot_label_relations, weights, test.names, tree, quantity=quantity),
        [test.write_matrix("label_relations.csv", weights, tree.order)],
        {"The closest classes": closest},
        alt="Heat map of the classes beside their tree. The closest: "
        + "; ".join(f"{pair['label']} and {pair['other']}" for pair in closest[:3]),
    )


def embeddings(test: Evaluated) -> Section:
    """The embeddings in two dimensions, or why there are none."""
    if len(test.references) < 3:
        return Section("Embeddings", "A map needs at least three texts.")
    projected = points, _ = project(test.outputs.embeddings)
    true, predicted = ([test.names[index] for index in ids] for ids in (test.references, test.predictions))
    rows = zip(range(len(points)), *points.T, true, predicted)
    confused = most_confused(test.counts, HIGHLIGHTED)
    few = len(test.names) <= HIGHLIGHTED
    told_apart = "" if few else f"Colours and shapes tell the {HIGHLIGHTED} most confused classes apart."
    return Section(
        "Embeddings",
        f"One point for each text, names at the centroids of the classes. {told_apart} Two dimensions show "
        "only a part of the distances.",
        test.draw("embedding_map", plot_embedding_map, *projected, test.references, test.names, confused),
        [test.write_csv("embedding_map.csv", ["row", "x", "y", "true", "predicted"], rows)],
        alt=f"Scatter plot of {len(points):,} texts of {len(test.names)} classes. Told apart by colour and shape: "
        + ", ".join(test.names[label] for label in confused),
    )


def calibration(test: Evaluated, validation: Evaluated | None, remark: str = "") -> tuple[Section, dict[str, Any]]:
    """Calibration on the test split; if that helps, also with a temperature, fitted on the validation split."""
    logits, references = test.outputs.logits, test.references
    panels = {"before": reliability_bins(logits, references)}
    facts = {"error_before": panels["before"].calibration_error}
    if validation is None:
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
    titles = {"before": "Before the thresholds" if remark else "As it is", "after": "After temperature scaling"}
    errors = "; ".join(
        f"{titles[name]}: calibration error {bins.calibration_error:.3f}" for name, bins in panels.items()
    )
    rows = (
        (name, *row)
        for name, bins in panels.items()
        for row in zip(bins.edges[:-1], bins.edges[1:], bins.counts, bins.confidence, bins.accuracy)
    )
    section = Section(
        "Calibration",
        f"{remark}{text} The calibration error is the mean distance of the bars from the diagonal over the texts.",
        test.draw("reliability", plot_reliability, {titles[name]: bins for name, bins in panels.items()}),
        [test.write_csv("reliability.csv", ["scaling", "from", "to", "texts", "confidence", "accuracy"], rows)],
        alt=f"Bars of accuracy by the probability of the predicted class. {errors}.",
    )
    return section, facts


def training_curves(test: Evaluated, log_history: list[dict[str, Any]]) -> Section:
    """The training curves, or why there are none."""
    if not any("loss" in line for line in log_history):
        return Section("Training", "No trainer_state.json with a logged loss is in the folder or its checkpoints.")
    losses = [line["loss"] for line in log_history if "loss" in line]
    numbers = [{name: value for name, value in line.items() if isinstance(value, int | float)} for line in log_history]
    columns = list(dict.fromkeys(name for line in numbers for name in line))
    rows = ([line.get(name, "") for name in columns] for line in numbers)
    return Section(
        "Training",
        "With a contrastive objective the loss is alpha times the cross-entropies plus 1 - alpha times the "
        "contrastive loss, which may be negative.",
        test.draw("training_curves", plot_training_curves, log_history),
        [test.write_csv("training_curves.csv", columns, rows)],
        alt=f"Lines by step: the training loss goes from {losses[0]:.3g} to {losses[-1]:.3g} in {len(losses)} points.",
    )
