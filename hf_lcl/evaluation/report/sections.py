"""What a report says of a model: each function writes its pictures and numbers and returns a section."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import EvalPrediction

from ...support.files import write_csv
from ..calibration import fit_temperature, reliability_bins
from ..confusion import confused_pairs, confusion_counts, per_class_table
from ..inference import ModelOutputs
from ..metrics import classification_metrics
from ..plots import (
    plot_confusion_matrix,
    plot_embedding_map,
    plot_label_relations,
    plot_reliability,
    plot_training_curves,
    project,
    save_picture,
)
from ..relations import class_tree, closest_pairs, is_nearly_uniform, label_relations
from .page import Section


@dataclass(frozen=True)
class Evaluated:
    """
    A split and what the model said of it.

    Args:
        split (`str`): its name.
        references (`np.ndarray` of shape `(rows,)`): true class ids.
        outputs ([`ModelOutputs`]): of the model.
        names (`list[str]`): class names by id.
        folder (`Path`): where pictures and numbers go.
    """

    split: str
    references: np.ndarray
    outputs: ModelOutputs
    names: list[str]
    folder: Path

    @property
    def predictions(self) -> np.ndarray:
        """Predicted class ids `(rows,)`."""
        return self.outputs.logits.argmax(axis=1)

    @property
    def order(self) -> list[int]:
        """The classes, with those side by side that the classifier finds alike."""
        return class_tree(label_relations(self.outputs.logits, self.references)).order

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Writes a table of numbers into the folder; NaN is an empty cell."""
        write_csv(self.folder / name, header, ([_cell(value) for value in row] for row in rows))

    def write_rows(self, name: str, rows: list[dict[str, Any]], header: Sequence[str]) -> None:
        """Likewise, for rows with the keys of `header`."""
        self.write_csv(name, header, [list(row.values()) for row in rows])


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value


def results_section(test: Evaluated) -> tuple[Section, dict[str, Any]]:
    """Accuracy and F1, per class, and the most frequent errors."""
    metrics = classification_metrics(EvalPrediction(test.outputs.logits, test.references))
    per_class = per_class_table(test.references, test.predictions, test.names)
    pairs = [pair._asdict() for pair in confused_pairs(test.references, test.predictions, test.names, top=10)]
    test.write_rows("per_class.csv", per_class, ["label", "precision", "recall", "f1", "support"])
    test.write_rows("confused_pairs.csv", pairs, ["true", "predicted", "count", "share"])
    section = Section(
        "Results",
        tables={
            f"{test.split.capitalize()} split, {len(test.references):,} texts": [metrics],
            "The most frequent errors": pairs,
            "Per class": per_class,
        },
        files=["per_class.csv", "confused_pairs.csv"],
    )
    return section, {"metrics": metrics, "per_class": per_class, "confused_pairs": pairs}


def confusion_section(test: Evaluated) -> Section:
    """The confusion matrix."""
    counts = confusion_counts(test.references, test.predictions, len(test.names))
    with np.errstate(invalid="ignore"):  # a class without texts has no shares
        shares = counts / counts.sum(axis=1, keepdims=True)
    order = test.order
    save_picture(
        lambda theme: plot_confusion_matrix(shares, test.names, order, theme), test.folder, "confusion_matrix"
    )
    _write_matrix(test, "confusion_matrix.csv", counts, order)
    return Section(
        "Confusion matrix",
        "Each row holds the texts of one class, and adds up to 100%. Classes that the classifier finds alike stand "
        "side by side. The file holds numbers of texts.",
        picture="confusion_matrix",
        files=["confusion_matrix.csv"],
    )


def relations_section(
    test: Evaluated, validation: Evaluated | None, weighting_logits: np.ndarray | None, remark: str
) -> Section:
    """How close the classes are: for the weighting network where it has learned that, else for the classifier."""
    weights = None if weighting_logits is None else label_relations(weighting_logits, test.references)
    if weights is not None and not is_nearly_uniform(weights):
        quantity = "weight"
        text = (
            "What the label-aware loss has learned of the classes: the weight that the weighting network gives to "
            "each class, averaged over the texts of a class. The larger it is, the closer are the two classes, and "
            f"the harder the loss pushed them apart. {remark}"
        )
    else:
        if weights is not None:
            remark = (
                "Not learned yet: the weighting network gives all classes almost the same weight. Its mean weights "
                f"lie between {np.nanmin(weights):.3f} and {np.nanmax(weights):.3f}, where equal ones are "
                f"{1 / len(weights):.3f}. {remark}"
            )
        shown, quantity = validation or test, "probability"
        weights = label_relations(shown.outputs.logits, shown.references)
        if is_nearly_uniform(weights):
            return Section("Label relations", f"{remark} Nor does the classifier tell the classes apart yet.")
        text = (
            f"{remark} Shown instead: the probability that the classifier gives to each class, averaged over the "
            f"{shown.split} texts of a class. The larger it is, the more alike are the two classes to the classifier."
        )
    tree = class_tree(weights)
    save_picture(
        lambda theme: plot_label_relations(weights, test.names, tree, theme, quantity), test.folder, "label_relations"
    )
    _write_matrix(test, "label_relations.csv", weights, tree.order)
    return Section(
        "Label relations",
        f"{text} The distance in the tree is minus the logarithm of the mean {quantity} in both directions.",
        picture="label_relations",
        tables={"The closest classes": closest_pairs(weights, test.names)},
        files=["label_relations.csv"],
    )


def map_section(test: Evaluated) -> Section:
    """The embeddings in two dimensions, or why there are none."""
    if len(test.references) < 3:
        return Section("Embeddings", "A map needs at least three texts.")
    points, axis_labels = project(test.outputs.embeddings)
    order = test.order
    save_picture(
        lambda theme: plot_embedding_map(points, axis_labels, test.references, test.names, order, theme),
        test.folder,
        "embedding_map",
    )
    labels = [test.names[index] for index in test.references]
    predicted = [test.names[index] for index in test.predictions]
    rows = zip(range(len(points)), *points.T, labels, predicted)
    test.write_csv("embedding_map.csv", ["row", "x", "y", "true", "predicted"], rows)
    return Section(
        "Embeddings",
        "One point for each text. Two dimensions show only a part of the distances.",
        picture="embedding_map",
        files=["embedding_map.csv"],
    )


def calibration_section(test: Evaluated, validation: Evaluated | None) -> tuple[Section, dict[str, Any]]:
    """Calibration on the test split, and after a temperature, fitted on the validation split, where that helps."""
    logits, references = test.outputs.logits, test.references
    panels = {"before": reliability_bins(logits, references)}
    facts = {"error_before": panels["before"].calibration_error}
    if validation is None:
        text = "Without a validation split there is nothing to fit a temperature on: give --validation_file."
    else:
        temperature = fit_temperature(validation.outputs.logits, validation.references)
        after = reliability_bins(logits, references, temperature)
        facts |= {"temperature": temperature, "error_after": after.calibration_error}
        fitted = (
            f"the temperature {temperature:.3f}, which was fitted on {len(validation.references):,} validation texts"
        )
        if facts["error_after"] < facts["error_before"]:
            panels["after"] = after
            text = f"Divided by {fitted}, the logits give the probabilities at the right. Predictions stay the same."
        else:
            text = (
                f"Temperature scaling does not help: divided by {fitted}, the logits would have a calibration error "
                f"of {facts['error_after']:.4f} instead of {facts['error_before']:.4f}."
            )
    titles = {"before": "As it is", "after": "After temperature scaling"}
    shown = {titles[name]: bins for name, bins in panels.items()}
    save_picture(lambda theme: plot_reliability(shown, theme), test.folder, "reliability")
    rows = [
        (name, *row)
        for name, bins in panels.items()
        for row in zip(bins.edges[:-1], bins.edges[1:], bins.counts, bins.confidence, bins.accuracy)
    ]
    test.write_csv("reliability.csv", ["scaling", "from", "to", "texts", "confidence", "accuracy"], rows)
    text += " The calibration error is the mean distance of the bars from the diagonal, over all texts."
    return Section("Calibration", text, picture="reliability", files=["reliability.csv"]), facts


def curves_section(test: Evaluated, log_history: list[dict[str, Any]]) -> Section:
    """The training curves, or why there are none."""
    if not any("loss" in line for line in log_history):
        return Section("Training", "No trainer_state.json with a logged loss lies in the folder or its checkpoints.")
    save_picture(lambda theme: plot_training_curves(log_history, theme), test.folder, "training_curves")
    columns = list(dict.fromkeys(name for line in log_history for name, value in line.items() if _is_number(value)))
    test.write_csv("training_curves.csv", columns, [[line.get(name, "") for name in columns] for line in log_history])
    return Section(
        "Training",
        "With a contrastive objective the loss is alpha times the cross-entropies, plus 1 - alpha times the "
        "contrastive part, which may be negative.",
        picture="training_curves",
        files=["training_curves.csv"],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _write_matrix(test: Evaluated, name: str, values: np.ndarray, order: list[int]) -> None:
    names = [test.names[index] for index in order]
    ordered = values[np.ix_(order, order)]
    test.write_csv(name, ["true", *names], [[label, *row] for label, row in zip(names, ordered)])
