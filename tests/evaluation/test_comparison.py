"""Paired tests compared with known values, and their table."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from hf_lcl.evaluation.comparison import comparison_rows, markdown_table, paired_test


def answers(rng, seeds, texts, accuracy):
    return (rng.random((seeds, texts)) < accuracy).astype(float)


def test_with_one_seed_the_test_over_texts_is_mcnemars():
    rng = np.random.default_rng(0)
    one, other = answers(rng, 1, 300, 0.8), answers(rng, 1, 300, 0.7)
    better, worse = int((one > other).sum()), int((one < other).sum())
    found = paired_test(one, other)
    assert found.p_texts == pytest.approx(stats.binomtest(better, better + worse).pvalue)
    assert found.difference == pytest.approx((better - worse) / 300)
    assert found.low < found.difference < found.high
    assert found.p_seeds is None


def test_with_several_seeds_the_test_over_texts_flips_the_signs_of_differences_of_any_size():
    # One text is better with both seeds, three are with one of them, and one is worse with one of them.
    one = np.array([[1, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 0]], dtype=float)
    other = np.array([[0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 1]], dtype=float)
    differences = [1, 0.5, 0.5, 0.5, 0, -0.5]
    assert (one - other).mean(axis=0).tolist() == differences
    sums = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=6)]
    assert paired_test(one, other).p_texts == pytest.approx(np.mean(np.array(sums) >= 2.0))


def test_with_several_seeds():
    rng = np.random.default_rng(1)
    one, other = answers(rng, 4, 200, 0.82), answers(rng, 4, 200, 0.75)
    found = paired_test(one, other)
    assert found.p_seeds == pytest.approx(stats.ttest_rel(one.mean(axis=1), other.mean(axis=1)).pvalue)
    assert found.p_texts < 0.01
    assert found.low > 0
    mirrored = paired_test(other, one)
    assert mirrored.difference == pytest.approx(-found.difference)
    assert mirrored.p_texts == pytest.approx(found.p_texts, abs=0.005)


def test_chance_alone_is_not_found_to_be_a_difference():
    rng = np.random.default_rng(2)
    values = [paired_test(answers(rng, 2, 40, 0.7), answers(rng, 2, 40, 0.7)).p_texts for _ in range(15)]
    assert np.mean(np.array(values) < 0.05) < 0.2
    assert 0.3 < np.mean(values) < 0.7


def test_equal_systems():
    same = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    found = paired_test(same, same)
    assert (found.difference, found.low, found.high, found.p_texts, found.p_seeds) == (0, 0, 0, 1, None)
    with pytest.raises(ValueError, match="not the same seeds and texts"):
        paired_test(same, same[:1])


def run(objective, seed, predictions, accuracy):
    settings = {"objective": objective, "training": {"seed": seed}}
    return {
        "settings": settings,
        "metrics": {"accuracy": accuracy},
        "seconds": 10.0 + seed,
        "predictions": predictions,
    }


def test_the_table_compares_over_the_seeds_that_both_have():
    references = np.array([0, 1, 0, 1])
    runs = [
        run("ce", 0, [0, 1, 1, 0], 0.5),
        run("ce", 1, [0, 0, 0, 0], 0.5),
        run("lcl", 0, [0, 1, 0, 0], 0.75),
        run("lcl", 2, [1, 1, 1, 1], 0.5),
    ]
    first, second = comparison_rows(runs, references)
    assert first == {
        "objective": "ce",
        "runs": 2,
        "accuracy": "50.0 ± 0.0",
        "seconds": "10 ± 1",
        "accuracy - ce": "",
        "95% interval": "",
        "p over texts": "",
        "p over seeds": "",
    }
    assert second["accuracy"] == "62.5 ± 17.7"
    assert second["accuracy - ce"] == "+25.0"
    assert second["p over texts"] == "1.000"
    assert second["p over seeds"] == ""
    # Without pairing runs by seed, the result would differ.
    assert second["95% interval"] == "+0.0 to +75.0"
    assert markdown_table([first]).splitlines()[2].startswith("| ce | 2 | 50.0 ± 0.0 |")
