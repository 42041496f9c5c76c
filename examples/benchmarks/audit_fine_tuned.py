"""Finding flipped labels by out-of-fold predictions of fine-tuned classifiers, and accuracy after mending them."""

from typing import Any

import numpy as np
from audit_flips import Data, figures, flip, margins, positive
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from scipy.special import softmax
from study.cells import Cell, Task
from study.systems import ours, train_ours

from hf_lcl.evaluation import label_relations
from hf_lcl.evaluation.audit.findings import look_at
from hf_lcl.evaluation.audit.folds import assign_folds, out_of_fold
from hf_lcl.evaluation.inference import ModelOutputs, run_model


OBJECTIVES = ("lcl", "ce")
TRAINING = {"epochs": 2, "learning_rate": 1e-4, "pooling": "mean"}
FOLDS = 2
MENDED = ("as they are", "worst dropped", "worst corrected", "without errors")
POWERS = (0.5, 1.0)  # exponents of the prior


def judge(data: Data, run: dict[str, Any], encoder: str) -> dict[str, Any]:
    """Precision at k and AUROC of rankings by out-of-fold predictions of a fine-tuned classifier."""
    labels = flip(data, run["noise"], run["seed"])
    is_wrong, rows = labels != data["train_labels"], np.arange(len(labels))
    groups = np.unique(data["train_texts"], return_inverse=True)[1]
    fold_of = assign_folds(labels, groups, np.random.default_rng(0), FOLDS)
    num_labels = len(data["names"])
    logits, weighting = np.zeros((2, len(labels), num_labels))
    for fold in range(FOLDS):
        kept, held_out = fold_of != fold, fold_of == fold
        outputs = train(data, run, encoder, (data["train_texts"][kept], labels[kept]), data["train_texts"][held_out])
        logits[held_out] = outputs.logits
        if outputs.weighting_logits is not None:
            weighting[held_out] = outputs.weighting_logits
    probabilities = positive(softmax(logits, axis=1))
    no_prior = np.ones((num_labels, num_labels))
    scores = {
        "self-confidence": -probabilities[rows, labels],
        "margin": margins(probabilities, labels, no_prior, 0),
    }
    if run["objective"] == "lcl":
        frozen = positive(out_of_fold(data["train_embeddings"], labels, groups, folds=FOLDS))
        relations = label_relations(weighting, labels)
        scores["frozen, margin"] = margins(frozen, labels, no_prior, 0)
        for power in POWERS:
            scores[f"margin, prior of learned relations {power:g}"] = margins(probabilities, labels, relations, power)
            scores[f"frozen, prior of learned relations {power:g}"] = margins(frozen, labels, relations, power)
    return {
        "texts": len(labels),
        "flipped": int(is_wrong.sum()),
        "rankings": {name: figures(is_wrong, score) for name, score in scores.items()},
    }


def train_again(data: Data, run: dict[str, Any], encoder: str) -> dict[str, Any]:
    """Test accuracy after fine-tuning on labels of which the first that `audit` lists are mended."""
    labels, clean = flip(data, run["noise"], run["seed"]), data["train_labels"]
    found = look_at(data["train_embeddings"], labels, data["train_texts"].tolist())
    worst = found.order[: (labels != clean).sum()]
    kept = np.arange(len(labels))
    if run["mended"] == "worst dropped":
        kept = np.setdiff1d(kept, worst)
    elif run["mended"] == "worst corrected":
        labels[worst] = found.suggested[worst]
    elif run["mended"] == "without errors":
        labels = clean
    outputs = train(data, run, encoder, (data["train_texts"][kept], labels[kept]), data["test_texts"])
    return {"accuracy": float((outputs.logits.argmax(axis=1) == data["test_labels"]).mean())}


def train(
    data: Data, run: dict[str, Any], encoder: str, learned_from: tuple[np.ndarray, np.ndarray], asked: np.ndarray
) -> ModelOutputs:
    """Fine-tunes on `learned_from` (texts and labels), and returns the outputs for the texts `asked`."""
    names = data["names"].tolist()
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    texts, labels = learned_from
    columns = {"train": (texts, labels), "test": (asked, np.zeros(len(asked), dtype=int))}
    splits = DatasetDict(
        {
            name: Dataset.from_dict({"text": text.tolist(), "label": label.tolist()}, features)
            for name, (text, label) in columns.items()
        }
    )
    cell = Cell(run["data"], run["epochs"], run["learning_rate"])
    task = Task(encoder, cell, splits, run["seed"], bf16=False, max_seq_length=128)
    system = ours({"pooling": run["pooling"]}, objective=run["objective"], head_start=True, distill_mean=False)
    trainer, tokens = train_ours(task, **system.options)
    return run_model(trainer.model, tokens["test"], trainer.processing_class, description="held out")
