"""The advice of a report: how certain the figures are, and what to do."""

import numpy as np
import pytest
from sklearn.metrics import f1_score
from transformers import EvalPrediction

from hf_lcl import classification_metrics
from hf_lcl.evaluation import intervals
from hf_lcl.evaluation.advice import advice
from hf_lcl.evaluation.confusion import confusion_counts, most_confused
from hf_lcl.evaluation.intervals import metric_intervals, several_labels_intervals, share_interval
from hf_lcl.support.tables import format_table


def test_wilsons_interval_is_the_textbook_one():
    # p = 0.8, n = 100: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    z = 1.959963984540054
    middle, half = 0.8 + z**2 / 200, z * np.sqrt(0.8 * 0.2 / 100 + z**2 / 40000)
    expected = [(middle + sign * half) / (1 + z**2 / 100) for sign in (-1, 1)]
    np.testing.assert_allclose(share_interval(80, 100), expected, rtol=1e-9)
    assert share_interval(0, 5)[0] == 0


@pytest.mark.slow
def test_the_intervals_are_as_wide_as_the_metrics_of_other_samples_spread():
    rng = np.random.default_rng(0)

    def sample() -> tuple[np.ndarray, np.ndarray]:
        true = rng.choice(3, size=400, p=[0.6, 0.3, 0.1])
        return true, np.where(rng.random(400) < 0.8, true, rng.integers(3, size=400))

    spread = [metrics_of(*sample()) for _ in range(300)]
    found = metric_intervals(confusion_counts(*sample(), 3))
    for name, (low, high) in found.items():
        truth = np.percentile([metrics[name] for metrics in spread], [2.5, 97.5])
        assert high - low == pytest.approx(truth[1] - truth[0], rel=0.25)


def metrics_of(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    averages = {f"{average}_f1": f1_score(true, predicted, average=average) for average in ("macro", "weighted")}
    return {"accuracy": float((true == predicted).mean()), **averages}


def test_the_most_confused_classes_err_in_either_direction():
    counts = np.array([[9, 1, 0], [0, 5, 4], [0, 0, 9]])
    assert most_confused(counts, 2) == [1, 2]  # 5 and 4 errors, against 1


def of_counts(counts: list[list[int]], sure: float = 0.6) -> list[str]:
    """The advice for a confusion matrix, with the same probability for all predictions."""
    true, predicted = zip(*[(i, j) for i, row in enumerate(counts) for j, n in enumerate(row) for _ in range(n)])
    classes = len(counts)
    probabilities = np.full((len(true), classes), (1 - sure) / (classes - 1))
    probabilities[range(len(true)), predicted] = sure
    return advice(np.array(true), probabilities, ["angry", "annoyed", "glad"][:classes])


def test_each_kind_of_error_has_its_advice():
    (merge,) = of_counts([[30, 10, 0], [10, 30, 0], [0, 0, 40]])
    assert merge.startswith("Merge or define: 20 of the 80 texts of angry and annoyed are read as the other.")
    (relabel,) = of_counts([[30, 1, 0], [0, 30, 0], [0, 0, 30]], sure=0.95)
    assert relabel.startswith("Relabel: 1 of the 1 errors have a probability of 90% or more.")
    (collect,) = of_counts([[60, 0, 0], [10, 10, 0], [0, 0, 60]])
    assert collect.endswith("are read right less often than the rest: annoyed (10 of 20).")
    (test_texts,) = of_counts([[50, 0, 0], [0, 50, 0], [0, 0, 2]])
    assert test_texts == "Collect test texts: glad (2) have fewer than 10, too few to judge them by."
    assert of_counts([[40, 1, 0], [0, 40, 0], [0, 1, 40]])[0].startswith("Nothing stands out")


@pytest.mark.parametrize("decimals", [8, 0, -1], ids=["no_ties", "ties", "all_equal"])
def test_intervals_of_several_labels_are_those_of_scikit_learn_on_texts_drawn_anew(monkeypatch, decimals):
    monkeypatch.setattr(intervals, "DRAWS_OF_TEXTS", 20)
    rng = np.random.default_rng(1)
    references = (rng.random((40, 3)) < 0.4).astype(int)
    logits = (rng.normal(size=(40, 3)) + references).round(decimals)
    draws = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=20)
    naive = [
        classification_metrics(EvalPrediction(logits[rows], references[rows]))
        for rows in (np.repeat(np.arange(40), times) for times in draws)
    ]
    found = several_labels_intervals(logits, references)
    assert found.keys() == naive[0].keys()
    for name in found.keys() - {"subset_accuracy"}:
        assert found[name] == pytest.approx(np.percentile([one[name] for one in naive], [2.5, 97.5])), name
    all_right = int(((logits > 0) == references).all(axis=1).sum())
    assert found["subset_accuracy"] == share_interval(all_right, 40)


def test_a_class_for_texts_out_of_scope_may_have_no_test_texts():
    references = np.repeat([0, 1], 12)
    probabilities = np.eye(3)[references]
    assert advice(references, probabilities, ["glad", "sad", "out_of_scope"]) == [
        "Nothing stands out: the errors are few, or spread over all classes."
    ]


def test_a_name_with_a_line_break_stays_in_its_line():
    assert format_table([{"label": "one\ntwo", "f1": 0.5}]) == "label       f1\none two  0.500"
