"""Selective prediction: the risk-coverage curve, its area, and thresholds evaluated on other texts."""

import numpy as np
import pytest

from hf_lcl.evaluation.selective import cut_table, risk_coverage


def sample(rows, seed):
    """Logits, and labels drawn from their softmax, so that the probabilities are calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3)) * 2
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def test_the_curve_begins_with_the_surest_and_ends_with_all():
    logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.7, 0.3]])
    curve = risk_coverage(logits, np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(curve.cuts, [0.9, 0.7, 0.6])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1])
    np.testing.assert_allclose(curve.accuracy, [1, 2 / 3, 0.5])
    assert curve.area == pytest.approx(0.25 * 0 + 0.5 / 3 + 0.25 / 2)
    assert curve.cut_for(0.6) == pytest.approx(0.7)
    assert curve.cut_for(1.0) == pytest.approx(0.9)
    assert risk_coverage(logits[1:2], np.array([0])).cut_for(0.5) is None


def test_cuts_hold_on_other_texts():
    chosen_on, measured = risk_coverage(*sample(20_000, 0)), risk_coverage(*sample(20_000, 1))
    table = cut_table(chosen_on, measured)
    assert [row["wanted"] for row in table] == [0.8, 0.9, 0.95, 0.98, 0.99]
    for row in table:
        assert row["accuracy"] == pytest.approx(row["wanted"], abs=0.015)
    shares = [row["answered"] for row in table]
    assert shares == sorted(shares, reverse=True)
    assert cut_table(chosen_on, measured, wanted=(0.1,)) == []


def test_sure_errors_cost_more_than_unsure_ones():
    logits, labels = sample(500, 2)
    wrong = logits.argmax(axis=1) != labels
    unsure = np.where(wrong[:, None], logits * 0.1, logits)
    assert risk_coverage(unsure, labels).area < risk_coverage(logits, labels).area
