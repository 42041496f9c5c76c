"""Metrics agree with scikit-learn; like all tests, these run offline and with an empty cache."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from transformers import EvalPrediction

from hf_lcl import classification_metrics
from hf_lcl.evaluation import confused_pairs, per_class_table


TRUE = np.array([0, 0, 1, 1, 2, 2, 2, 0])
PREDICTED = np.array([0, 1, 1, 1, 0, 2, 0, 1])


def test_the_summary_is_scikit_learns():
    true, predicted = [*TRUE, 3], [*PREDICTED, 0]  # without that text, two of the metrics would be equal
    result = classification_metrics(EvalPrediction(np.eye(4)[predicted], np.array(true)))
    assert len(set(result.values())) == 3
    assert result == {
        "accuracy": accuracy_score(true, predicted),
        "macro_f1": f1_score(true, predicted, average="macro", zero_division=0),
        "weighted_f1": f1_score(true, predicted, average="weighted", zero_division=0),
    }


def test_the_per_class_table_knows_classes_that_do_not_occur():
    table = per_class_table(TRUE, PREDICTED, ["a", "b", "c", "d"])
    assert [row["label"] for row in table] == ["a", "b", "c", "d"]
    assert [row["support"] for row in table] == [3, 2, 3, 0]
    assert table[1]["precision"] == pytest.approx(0.5)
    assert table[1]["recall"] == 1.0
    assert table[3]["f1"] == 0.0


def test_confused_pairs_are_the_most_frequent_errors_in_order():
    pairs = confused_pairs(TRUE, PREDICTED, ["a", "b", "c"])
    assert [pair[:3] for pair in pairs] == [("a", "b", 2), ("c", "a", 2)]
    assert pairs[0].share == pytest.approx(2 / 3)
    assert confused_pairs(TRUE, TRUE, ["a", "b", "c"]) == []
    assert len(confused_pairs(TRUE, PREDICTED, ["a", "b", "c"], top=1)) == 1


def test_a_class_that_is_never_predicted_counts_as_zero_without_a_warning(recwarn):
    result = classification_metrics(EvalPrediction(np.eye(3)[[0, 0, 0]], np.array([0, 1, 2])))
    assert result["macro_f1"] == pytest.approx(0.5 / 3)
    assert not [warning for warning in recwarn if "UndefinedMetric" in warning.category.__name__]


def test_a_class_absent_from_the_texts_does_not_lower_the_average():
    result = classification_metrics(EvalPrediction(np.eye(3)[[0, 1]], np.array([0, 1])))
    assert result == {"accuracy": 1.0, "macro_f1": 1.0, "weighted_f1": 1.0}


def test_metrics_are_plain_numbers_for_json():
    result = classification_metrics(EvalPrediction(np.eye(3)[PREDICTED], TRUE))
    assert {type(value) for value in result.values()} == {float}


def test_the_shares_of_a_class_that_does_not_occur_are_left_out():
    pairs = confused_pairs(np.array([0, 0]), np.array([2, 0]), ["a", "b", "c"])
    assert pairs == [("a", "c", 1, 0.5)]


def test_equally_frequent_errors_are_in_the_order_of_the_ids():
    pairs = confused_pairs(np.array([2, 1, 0]), np.array([0, 2, 1]), ["a", "b", "c"])
    assert [pair[:2] for pair in pairs] == [("a", "b"), ("b", "c"), ("c", "a")]
