"""The threshold of each label of a multi-label classifier, chosen on validation texts and folded into its bias."""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.special import expit, logit
from transformers import EvalPrediction, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification
from ..start.last_layer import last_layer, shift_logits
from ..support.files import staged
from .decisions import check_goal
from .finished import is_standard
from .inference import run_model
from .metrics import classification_metrics


# A class with this many texts gets the mean of its own cut and that of all classes together.
FEW_TEXTS = 10
F1_NAMES = ("macro_f1", "micro_f1")
REMARK = "scores are decisions, not calibrated probabilities"


def best_cuts(logits: np.ndarray, references: np.ndarray, goal: str = "f1") -> np.ndarray:
    """
    The threshold on the logit of each class for the best F1, or for the highest recall at a precision. It lies halfway
    between the logits of two texts. The cut of a class with few texts is shrunk towards the best cut for all classes
    together; a class without texts gets that cut.

    The logits and the rows of 0 and 1 `(rows, num_labels)` are of texts that the classifier was not trained on; the
    goal is `"f1"`, or a precision, such as `"precision=0.9"`. Raises a `ValueError` for another goal, or if no text
    has a label.
    """
    precision, references = check_goal(goal), np.asarray(references) > 0
    if not references.any():
        raise ValueError("No validation text has a label, so that no threshold can be chosen.")
    logits = np.asarray(logits, dtype=np.float64)
    of_all = _best_cut(logits.ravel(), references.ravel(), precision)
    counts = references.sum(axis=0)
    own = [_best_cut(*pair, precision) if pair[1].any() else of_all for pair in zip(logits.T, references.T)]
    return (counts * np.array(own) + FEW_TEXTS * of_all) / (counts + FEW_TEXTS)


def _best_cut(logits: np.ndarray, references: np.ndarray, precision: float | None) -> float:
    from sklearn.metrics import precision_recall_curve  # takes a second to import

    precisions, recalls, cuts = precision_recall_curve(references, logits)
    precisions, recalls = precisions[:-1], recalls[:-1]  # the last entries have no cut
    if precision is None:
        best = int(np.argmax(2 * precisions * recalls / (precisions + recalls).clip(min=1e-12)))
    elif (precisions >= precision).any():
        best = int(np.argmax(precisions >= precision))  # cuts ascend: the first has the highest recall
    else:
        best = int(np.argmax(precisions))
    below = logits[logits < cuts[best]]
    return float(cuts[best] + (below.max() if len(below) else cuts[best] - 2)) / 2


def check_bias(classifier: PreTrainedModel) -> None:
    """Raises a `ValueError` if the last layer of a classifier has no bias to subtract cuts from."""
    if last_layer(classifier)[1].bias is None:
        raise ValueError(
            f"fold_thresholds subtracts the cuts from the bias of the last layer, and {type(classifier).__name__} has "
            "no bias there: leave it out, and decide by predict --all_probabilities."
        )


def fold_cuts(
    classifier: PreTrainedModel, logits: np.ndarray, references: np.ndarray, goal: str = "f1"
) -> dict[str, Any]:
    """
    Chooses the cuts by [`best_cuts`] and subtracts them from the bias of the classifier, in place. Its configuration
    stores them as `folded_thresholds`, the probabilities that are mapped to 0.5. Returns these and the macro and micro
    F1 of the texts at 0.5, before and after. Also raises a `ValueError` if the last layer has no bias.
    """
    check_bias(classifier)
    names, cuts = class_names(classifier.config), best_cuts(logits, references, goal)
    shift_logits(classifier, (-cuts).tolist())
    before, after = (classification_metrics(EvalPrediction(z, references)) for z in (logits, logits - cuts))
    # New cuts add to those folded earlier: the thresholds that are stored refer to the original classifier.
    thresholds = dict(zip(names, expit(_folded_cuts(classifier.config) + cuts).tolist()))
    classifier.config.folded_thresholds = thresholds
    found: dict[str, Any] = {"goal": goal, "thresholds": thresholds, "cuts": cuts, "rows": len(references)}
    for name in F1_NAMES:
        found |= {f"{name}_before": before[name], f"{name}_after": after[name]}
    return found


def unfolded(logits: np.ndarray, config: PreTrainedConfig) -> np.ndarray:
    """Logits `(rows, num_labels)` as they were before thresholds were folded: their sigmoids are probabilities."""
    return logits + _folded_cuts(config) if getattr(config, "folded_thresholds", None) else logits


def _folded_cuts(config: PreTrainedConfig) -> np.ndarray:
    """The cut that was subtracted from the logit of each class, `(num_labels,)`."""
    thresholds = getattr(config, "folded_thresholds", None) or {}
    return logit([thresholds.get(name, 0.5) for name in class_names(config)])


def fold_into_folder(
    folder: Path,
    model: LCLForSequenceClassification,
    validation: Dataset | None,
    tokenizer: PreTrainedTokenizerBase,
    goal: str,
    batch_size: int,
) -> dict[str, Any]:
    """
    Applies [`fold_cuts`] on validation texts to the classifier in a folder, and saves it there. Raises a `ValueError`
    without such texts, for a classifier with one label per text, and for a folder that holds an adapter or a training
    model instead of a standard classifier.
    """
    check_goal(goal)  # before the model runs
    if not model.config.has_several_labels:
        raise ValueError(f"fold_thresholds is for several labels per text: {folder} gives each text one class.")
    if validation is None:
        raise ValueError("fold_thresholds chooses on validation texts: give --validation_file.")
    if not is_standard(folder, model):
        raise ValueError(f"{folder} holds no standard classifier that thresholds could be folded into.")
    logits = run_model(model, validation, tokenizer, batch_size=batch_size, description="validation").logits
    found = fold_cuts(model.native, logits, np.asarray(validation["labels"][:]), goal)
    with staged(folder) as whole:
        model.to_sequence_classifier().save_pretrained(whole)
    return found


def fold_line(found: dict[str, Any]) -> str:
    """What folding did, in one line."""
    cuts = found["thresholds"].values()
    return (
        f"thresholds {min(cuts):.2f} to {max(cuts):.2f} ({found['goal']}), now 0.5: on {found['rows']:,} validation "
        f"texts macro F1 {found['macro_f1_before']:.3f} before, {found['macro_f1_after']:.3f} after; micro F1 "
        f"{found['micro_f1_before']:.3f} before, {found['micro_f1_after']:.3f} after; {REMARK}"
    )
