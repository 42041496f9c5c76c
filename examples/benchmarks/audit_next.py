"""Accuracy of a classifier that learns from the texts that `next` chooses, and from as many random ones."""

from typing import Any

import numpy as np
from audit_flips import Data
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from hf_lcl.evaluation.audit.choosing import choose_next
from hf_lcl.start.head import INVERSE_PENALTY


START, ROUND, ROUNDS = 300, 100, 5  # labelled texts at the start, texts added per round, rounds
STRATEGIES = ("chance", "next")
# Where class sizes differ much, texts are drawn regardless of class.
POOLS: dict[str, dict[str, Any]] = {"clinc150": {}, "goemotions": {"per_class": None, "max_samples": 6000}}


def fit(data: Data, rows: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """Fits a logistic regression to some rows, as the head start does."""
    features = data["train_embeddings"][rows].astype(np.float32)
    scale = np.sqrt(np.square(features - features.mean(axis=0)).sum(axis=1).mean())
    return LogisticRegression(C=INVERSE_PENALTY / scale**2, max_iter=300, tol=1e-3).fit(features, labels[rows])


def accuracy(data: Data, rows: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on the test texts."""
    return float(fit(data, rows, labels).score(data["test_embeddings"].astype(np.float32), data["test_labels"]))


def label(data: Data, strategy: str, seed: int) -> dict[str, Any]:
    """Test accuracy and macro F1 with the first labels, and after each round of labelling."""
    labels, rng = data["train_labels"], np.random.default_rng(seed)
    rows = rng.permutation(len(labels))[:START]
    reached: dict[str, list[float]] = {"accuracy": [], "macro_f1": []}
    for number in range(ROUNDS + 1):
        model = fit(data, rows, labels)
        guesses = model.predict(data["test_embeddings"].astype(np.float32))
        reached["accuracy"].append(float((guesses == data["test_labels"]).mean()))
        reached["macro_f1"].append(float(f1_score(data["test_labels"], guesses, average="macro")))
        pool = np.setdiff1d(np.arange(len(labels)), rows)
        if number == ROUNDS:
            break
        if strategy == "next":
            logits = np.full((len(pool), labels.max() + 1), -30.0)
            logits[:, model.classes_] = model.predict_log_proba(data["train_embeddings"][pool].astype(np.float32))
            chosen, _ = choose_next(logits, data["train_embeddings"][pool], data["train_texts"][pool].tolist(), ROUND)
        else:
            chosen = rng.permutation(len(pool))[:ROUND].tolist()
        rows = np.concatenate([rows, pool[chosen]])
    return {"labelled": [START + ROUND * index for index in range(ROUNDS + 1)], **reached}
