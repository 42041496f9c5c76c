"""Texts of similar length share a batch, and batches stay balanced by class."""

import numpy as np
import pytest

from hf_lcl import LabelBalancedSampler


def padding(order: np.ndarray, lengths: np.ndarray, batch_size: int) -> float:
    """The share of padding in the batches."""
    batches = [lengths[order[start : start + batch_size]] for start in range(0, len(order), batch_size)]
    return 1 - lengths[order].sum() / sum(batch.max() * len(batch) for batch in batches)


@pytest.fixture
def texts() -> tuple[np.ndarray, np.ndarray]:
    """Labels of classes with 1,000 to 30 texts, and lengths like those of film reviews, longer in some classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), np.linspace(1000, 30, 12).astype(int))
    lengths = 4 + rng.gamma(3, 6, size=len(labels)) * (1 + labels % 3 / 8)
    return labels, lengths.astype(int)


def test_padding_falls_from_half_of_all_places_to_less_than_a_tenth(texts):
    labels, lengths = texts
    random = np.random.default_rng(1).permutation(len(labels))
    assert padding(random, lengths, 32) > 0.45
    sampler = LabelBalancedSampler(labels, 32, lengths=lengths)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = np.array(list(sampler))
        assert sorted(order) == list(range(len(labels)))
        assert padding(order, lengths, 32) < 0.1


def test_the_classes_in_a_batch_are_nearly_as_many(texts):
    labels, lengths = texts
    means = []
    for options in ({}, {"lengths": lengths}):
        sampler, numbers = LabelBalancedSampler(labels, 32, **options), []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            order = np.array(list(sampler))
            batches = [labels[order[start : start + 32]] for start in range(0, len(order) - 32, 32)]
            counts = [np.unique(batch, return_counts=True)[1] for batch in batches]
            assert min(count.min() for count in counts) >= 2
            numbers += map(len, counts)
        means.append(np.mean(numbers))
    assert means[1] > 0.96 * means[0]


def pairs_of_two_epochs(labels: np.ndarray, lengths: np.ndarray, batch_size: int) -> list[set[tuple[int, int]]]:
    """The pairs of texts of the same class that share a batch, by epoch."""
    sampler = LabelBalancedSampler(labels, batch_size, lengths=lengths)
    pairs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        order = np.array(list(sampler))
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        pairs.append({(a, b) for batch in batches for a in batch for b in batch if a < b and labels[a] == labels[b]})
    return pairs


def test_texts_meet_other_positives_in_every_epoch(texts):
    first, second = pairs_of_two_epochs(*texts, 32)
    assert len(first & second) < 0.4 * len(first)


def test_neighbours_by_length_part_where_all_groups_are_of_one_size():
    labels, lengths = np.arange(240) % 4, np.random.default_rng(0).permutation(240)
    first, second = pairs_of_two_epochs(labels, lengths, 8)
    assert len(first & second) < 0.4 * len(first)


def test_long_and_short_batches_come_in_any_order(texts):
    labels, lengths = texts
    order = np.array(list(LabelBalancedSampler(labels, 32, lengths=lengths)))
    means = [lengths[order[start : start + 32]].mean() for start in range(0, len(order) - 32, 32)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.4


def test_what_is_left_for_the_last_batch_is_long_or_short(texts):
    labels, lengths = (values[::4] for values in texts)
    sampler = LabelBalancedSampler(labels, 32, lengths=lengths, drop_last=True)
    dropped = []
    for epoch in range(10):
        sampler.set_epoch(epoch)
        left_out = np.setdiff1d(np.arange(len(labels)), list(sampler))
        dropped.append(lengths[left_out].mean() > np.median(lengths))
    assert {*dropped} == {True, False}


def test_equal_lengths_leave_the_order_to_chance():
    labels = np.repeat(np.arange(4), 50)
    sampler = LabelBalancedSampler(labels, 8, lengths=[7] * 200)
    first = list(sampler)
    sampler.set_epoch(1)
    assert sorted(first) == sorted(sampler) == list(range(200))
    assert first != list(sampler)
