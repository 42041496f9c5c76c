"""The benchmark of label relations: its statistics, and a run on made-up texts."""

import json

import numpy as np
import pytest
import relations
from study.closeness import agreement, closeness_of_mistakes, difference


def symmetric(size: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((size, size))
    return values + values.T


def test_matrices_agree_with_themselves_and_not_with_chance():
    first, other = symmetric(9, seed=0), symmetric(9, seed=1)
    same = agreement(first, np.exp(first), resamples=199)
    assert same.correlation == pytest.approx(1)
    assert same.p_value == pytest.approx(1 / 200)
    assert agreement(first, other, resamples=199).p_value > 0.05
    # The diagonal and the direction are ignored.
    skew = np.triu(np.ones((9, 9)), k=1)
    assert agreement(first + 5 * np.eye(9), first + skew - skew.T, resamples=19).correlation == pytest.approx(1)


def test_closeness_is_that_of_the_two_classes_of_a_mistake():
    similarity = np.array([[1.0, 0.7], [0.7, 1.0]])
    closeness = closeness_of_mistakes(np.array([0, 0, 1]), np.array([0, 1, 0]), similarity)
    np.testing.assert_equal(closeness, [np.nan, 0.7, 0.7])


def test_a_difference_of_mistakes_is_found_where_there_is_one():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 1, 300))
    right = rng.random((2, 1, 300)) < 0.5
    first, second = np.where(right, np.nan, noise)
    assert difference(first, second, resamples=199).p_value > 0.05
    found = difference(first + 1, second, resamples=199)
    assert found.low < found.mean < found.high
    assert found.low > 0.5
    assert found.p_value <= 0.01


def test_an_unknown_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--datasets imdb is unknown: use some of "):
        relations.main(["--encoder=x", f"--results={tmp_path / 'a.jsonl'}", "--datasets", "imdb"])


@pytest.mark.slow
def test_trainings_are_kept_and_judged(tmp_path, data_dir, encoder_folder):
    flags = [
        f"--encoder={encoder_folder}",
        f"--data_dir={data_dir}",
        f"--results={tmp_path / 'relations.jsonl'}",
        "--datasets=emoint",
        "--max_train_samples=40",
        "--learning_rate=1e-3",
        "--batch_size=16",
    ]
    relations.main(flags)
    ce, lcl = map(json.loads, (tmp_path / "relations.jsonl").read_text().splitlines())
    assert ce["references"] == lcl["references"]
    assert len(ce["predictions"]) == 60
    assert list(ce["relations"]) == ["classifier"]
    for matrix in lcl["relations"].values():
        np.testing.assert_allclose(np.sum(matrix, axis=1), 1, atol=1e-3)
    first = (tmp_path / "relations.jsonl").read_bytes()
    page = (tmp_path / "relations.md").read_text()
    relations.main(flags)
    assert (tmp_path / "relations.jsonl").read_bytes() == first
    assert (tmp_path / "relations.md").read_text() == page
    wrong = sum(a != b for a, b in zip(lcl["references"], lcl["predictions"]))
    assert f"| emoint | LCL | {1 - wrong / 60:.1%} | {wrong} |" in page
    assert "| emoint | LCL's weighting network |" in page
