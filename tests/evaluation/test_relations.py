"""Label relations are mean weights per class, and their tree orders close classes side by side."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from scipy.special import softmax

from hf_lcl.evaluation import class_tree, closest_pairs, label_relations
from hf_lcl.evaluation.relations import is_nearly_uniform


@settings(max_examples=30, deadline=None)
@given(rows=strategies.integers(1, 40), classes=strategies.integers(2, 9), seed=strategies.integers(0, 10_000))
def test_relations_are_the_mean_weights_of_each_class(rows, classes, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(rows, classes)) * 30, rng.integers(classes, size=rows)
    relations = label_relations(logits, labels)
    for label in range(classes):
        own = labels == label
        if own.any():
            np.testing.assert_allclose(relations[label], softmax(logits[own], axis=1).mean(axis=0), atol=1e-12)
        else:
            assert np.isnan(relations[label]).all()


def blocks(groups: list[list[int]], classes: int) -> np.ndarray:
    """Affinities that are high within groups."""
    affinity = np.full((classes, classes), 0.01)
    for group in groups:
        affinity[np.ix_(group, group)] = 0.2
    np.fill_diagonal(affinity, 0.6)
    return affinity


def test_close_classes_stand_side_by_side():
    groups = [[0, 4, 7], [1, 5], [2, 3, 6]]
    order = class_tree(blocks(groups, 8)).order
    assert sorted(order) == list(range(8))
    for group in groups:
        places = sorted(order.index(label) for label in group)
        assert places == list(range(places[0], places[0] + len(group)))


def test_the_tree_joins_the_closest_first_at_the_distance_of_their_weight():
    affinity = blocks([[1, 2]], 4)
    affinity[1, 2], affinity[2, 1] = 0.3, 0.1  # 0.2 in both directions
    first = class_tree(affinity).linkage[0]
    assert set(first[:2]) == {1, 2}
    assert first[2] == pytest.approx(-np.log(0.2))


def test_a_class_without_texts_is_placed_by_what_the_others_give_it():
    affinity = blocks([[0, 3], [1, 2]], 5)
    affinity[3] = np.nan
    order = class_tree(affinity).order
    assert abs(order.index(0) - order.index(3)) == 1
    pairs = closest_pairs(affinity, ["a", "b", "c", "d", "e"], top=2)
    assert pairs == [
        {"label": "a", "other": "d", "affinity": pytest.approx(0.2)},
        {"label": "b", "other": "c", "affinity": pytest.approx(0.2)},
    ]
    affinity[:] = np.nan
    assert sorted(class_tree(affinity).order) == list(range(5))


def test_pairs_are_as_close_as_both_directions_say():
    affinity = np.array([[0.5, 0.4, 0.1], [0.0, 0.7, 0.3], [0.25, 0.25, 0.5]])
    assert closest_pairs(affinity, ["a", "b", "c"]) == [
        {"label": "b", "other": "c", "affinity": pytest.approx(0.275)},
        {"label": "a", "other": "b", "affinity": pytest.approx(0.2)},
        {"label": "a", "other": "c", "affinity": pytest.approx(0.175)},
    ]


def test_a_network_that_has_learned_nothing_is_told_from_one_that_has():
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.6, 1.18, size=(25, 25))  # after one epoch with 25 classes: 0.024 to 0.047
    weights /= weights.sum(axis=1, keepdims=True)
    assert is_nearly_uniform(weights)
    weights[3] = np.nan
    assert is_nearly_uniform(weights)
    assert not is_nearly_uniform(0.3 * np.eye(25) + 0.7 / 25)
    assert not is_nearly_uniform(np.eye(2))
    assert is_nearly_uniform(np.full((3, 3), np.nan))


def test_two_classes_make_a_tree():
    assert sorted(class_tree(np.full((2, 2), 0.5)).order) == [0, 1]
