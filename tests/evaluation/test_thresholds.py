"""Thresholds of several labels: the best one for each, and the same decisions at 0.5 after folding."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_score
from transformers import BertForSequenceClassification, DebertaV2ForSequenceClassification, EvalPrediction

from hf_lcl.evaluation import (
    classification_metrics,
    confused_pairs,
    expected_calibration_error,
    fit_temperature,
    per_class_table,
)
from hf_lcl.evaluation.thresholds import FEW_TEXTS, best_cuts, check_goal, fold_cuts, fold_line
from hf_lcl.model.probing import probe_logits


def draw(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too low, and rows of 0 and 1 for a frequent, a less frequent and a rare label."""
    rng = np.random.default_rng(seed)
    references = rng.random((rows, 3)) < [0.4, 0.2, 0.02]
    return rng.normal(size=(rows, 3)) + 2 * references - [1.0, 2.0, 3.0], references


def test_a_cut_has_the_best_f1_of_all():
    logits, references = draw(250)
    for logit, reference in zip(logits.T[:2], references.T[:2]):
        best = max(f1_score(reference, logit >= cut) for cut in logit)
        both = np.stack([logit, logit], axis=1), np.stack([reference, reference], axis=1)
        (cut, same), count = best_cuts(*both), reference.sum()
        assert cut == same  # shrinkage does not move equal thresholds
        assert f1_score(reference, logit > cut) == pytest.approx(best)
        assert not np.isclose(logit, cut, atol=1e-9).any()
        assert count > FEW_TEXTS


def test_a_precision_is_reached_with_the_most_texts():
    logits, references = draw(250)
    pair = np.stack([logits[:, 0]] * 2, axis=1), np.stack([references[:, 0]] * 2, axis=1)
    cut = best_cuts(*pair, "precision=0.9")[0]
    given = logits[:, 0] > cut
    assert precision_score(references[:, 0], given) >= 0.9
    lower = sorted({value for value in logits[:, 0] if value < cut})
    precisions = [precision_score(references[:, 0], logits[:, 0] >= value) for value in lower]
    assert max(precisions) < 0.9


def test_classes_with_few_texts_are_drawn_to_the_cut_of_all():
    logits, references = draw()
    references[:, 2] = False
    of_all = best_cuts(np.tile(logits.reshape(-1, 1), 2), np.tile(references.reshape(-1, 1), 2))[0]
    assert best_cuts(logits, references)[2] == pytest.approx(of_all)
    with pytest.raises(ValueError, match="No validation text has a label"):
        best_cuts(logits, np.zeros_like(references))


@pytest.mark.parametrize("goal", ["f2", "precision", "precision=1", "precision=x", "recall=0.5", ""])
def test_another_goal_is_refused(goal):
    with pytest.raises(ValueError, match="is unknown: use f1, or a precision"):
        check_goal(goal)


@pytest.mark.parametrize("kind", [BertForSequenceClassification, DebertaV2ForSequenceClassification])
def test_folded_cuts_are_probabilities_of_a_half(kind):
    config = kind.config_class(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=3
    )
    classifier = kind(config).eval()
    logits, references = draw()
    before = probe_logits(classifier)
    found = fold_cuts(classifier, logits, references)
    torch.testing.assert_close(probe_logits(classifier).double(), before.double() - torch.from_numpy(found["cuts"]))
    thresholds = classifier.config.folded_thresholds
    assert list(thresholds.values()) == pytest.approx((1 / (1 + np.exp(-found["cuts"]))).tolist(), abs=1e-5)
    folded = classification_metrics(EvalPrediction(logits - found["cuts"], references))
    assert found["macro_f1_after"] == folded["macro_f1"] > found["macro_f1_before"]
    assert "scores are decisions, not calibrated probabilities" in fold_line(found)
    again = fold_cuts(classifier, logits - found["cuts"], references)
    assert list(again["thresholds"].values()) == pytest.approx(list(thresholds.values()), abs=0.2)
    classifier.classifier.bias = None
    with pytest.raises(ValueError, match="has no bias"):
        fold_cuts(classifier, logits, references)


def test_what_is_missed_for_what():
    references = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=float)
    predictions = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1], [0, 0, 1]])
    pairs = confused_pairs(references, predictions, ["a", "b", "c"])
    assert [tuple(pair) for pair in pairs] == [("b", "c", 2, 1.0), ("a", "(nothing)", 1, 0.5)]
    table = per_class_table(references, predictions, ["a", "b", "c"])
    assert [(row["recall"], row["support"]) for row in table] == [(0.5, 2), (0, 2), (1, 1)]


def test_calibration_is_that_of_each_decision():
    logits, references = np.array([[2.0, -2.0]] * 50), np.array([[1, 0]] * 50)
    assert expected_calibration_error(logits, references) == pytest.approx(1 - 1 / (1 + np.exp(-2.0)))
    flat = logits.reshape(-1, 1)
    stacked = np.concatenate([np.zeros_like(flat), flat], axis=1)
    references[:20, 0] = 0
    assert fit_temperature(logits, references) == fit_temperature(stacked, references.reshape(-1))


def test_metrics_are_those_of_scikit_learn():
    logits, references = draw()
    found = classification_metrics(EvalPrediction(logits.astype(np.float32), references.astype(np.float32)))
    decided = logits > 0
    for average in ("micro", "macro", "weighted"):
        expected = f1_score(references, decided, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    assert found["subset_accuracy"] == pytest.approx((references == decided).all(axis=1).mean())
    assert found["hamming_loss"] == pytest.approx((references != decided).mean())
    assert 0 < found["mean_average_precision"] < 1
