"""Batches hold several classes with several texts each, whatever the class frequencies."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_lcl import LabelBalancedSampler


def batches(labels, batch_size, epoch=0, **options) -> list[np.ndarray]:
    """The class ids of each batch of an epoch."""
    sampler = LabelBalancedSampler(labels, batch_size, **options)
    sampler.set_epoch(epoch)
    order = np.array(list(sampler))
    return [np.asarray(labels)[order[start : start + batch_size]] for start in range(0, len(order), batch_size)]


@st.composite
def label_sets(draw):
    """Labels of classes with 2 to 60 texts, none with more than half of all texts."""
    sizes = draw(st.lists(st.integers(2, 60), min_size=2, max_size=12))
    largest = max(sizes)
    if 2 * largest > sum(sizes):
        sizes.append(2 * largest - sum(sizes) + 2)
    return np.repeat(np.arange(len(sizes)), sizes).tolist()


def drawn_sizes(rng: np.random.Generator) -> list[int]:
    """Sizes of up to 12 classes with 2 to 60 texts, none with more than half of all texts."""
    sizes = rng.integers(2, 61, size=rng.integers(2, 13)).tolist()
    return [*sizes, max(2 * max(sizes) - sum(sizes), 2)]


@pytest.mark.parametrize(
    ("samples_per_class", "odd", "share"), [(2, 0, 0.9995), (2, 1, 0.997), (3, 0, 0.998), (4, 0, 0.999)]
)
def test_texts_have_positives_and_batches_two_classes(samples_per_class, odd, share):
    rng, alone, texts, of_one_class = np.random.default_rng(0), 0, 0, 0
    for seed in range(50):
        sizes, batch_size = drawn_sizes(rng), 2 * int(rng.integers(4, 33)) + odd
        labels = np.repeat(np.arange(len(sizes)), sizes)
        portion = min(samples_per_class, batch_size // 2, max(sizes))
        for batch in batches(labels, batch_size, samples_per_class=portion, seed=seed)[:-1]:
            counts = np.unique(batch, return_counts=True)[1]
            alone, texts = alone + (counts == 1).sum(), texts + len(batch)
            of_one_class += len(counts) < 2
    assert 1 - alone / texts >= share
    assert of_one_class <= (0 if samples_per_class == 2 and not odd else 5)


@pytest.mark.parametrize("texts", [2, 4, 5, 6, 7, 8, 16])
def test_few_texts_of_many_classes_have_positives(texts):
    labels = np.repeat(np.arange(77), texts)
    counts = [np.unique(batch, return_counts=True)[1] for batch in batches(labels, 32)[:-1]]
    assert sum((count == 1).sum() for count in counts) <= 0.01 * len(labels)
    assert sum(count[count > 1].sum() for count in counts) >= 0.99 * 32 * len(counts)


def skewed(rows: int = 25_000) -> tuple[np.ndarray, np.ndarray]:
    """Labels and lengths like those of comments: 28 classes of about 1 to 8,000 texts, with 3 to 128 tokens."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 29) ** 1.3
    labels = rng.choice(28, size=rows, p=shares / shares.sum())
    return labels, np.clip(rng.lognormal(2.8, 0.6, size=rows), 3, 128).astype(int)


def test_a_skewed_set_has_positives_little_padding_and_other_pairs_in_each_epoch_within_a_second():
    labels, lengths = skewed()
    sampler = LabelBalancedSampler(labels, 32, lengths=lengths)
    started = time.process_time()
    orders = [np.array(list(sampler)) for epoch in range(2) if sampler.set_epoch(epoch) is None]
    assert time.process_time() - started < 2
    pairs, padded = [], 0
    for order in orders:
        assert sorted(order) == list(range(len(labels)))
        alone, of_epoch = 0, []
        for start in range(0, len(order), 32):
            batch = np.sort(order[start : start + 32])
            padded += len(batch) * lengths[batch].max()
            alone += (np.unique(labels[batch], return_counts=True)[1] == 1).sum()
            first, second = batch[np.stack(np.triu_indices(len(batch), k=1))]
            of_epoch.append((first * len(labels) + second)[labels[first] == labels[second]])
        assert alone <= 0.005 * len(order)
        pairs.append(np.concatenate(of_epoch))
    assert 1 - 2 * lengths.sum() / padded < 0.05
    assert np.isin(pairs[1], pairs[0]).mean() < 0.2


def test_the_lengths_may_change_afterwards():
    labels, lengths = skewed(500)
    sampler = LabelBalancedSampler(labels, 16, lengths=lengths)
    order = list(sampler)
    lengths[:] = lengths[::-1]
    assert list(sampler) == order


def test_the_classes_may_change_afterwards():
    labels = np.repeat(np.arange(5), 20)
    sampler = LabelBalancedSampler(labels, 10)
    order = list(sampler)
    labels[:] = 0
    assert list(sampler) == order


@pytest.mark.parametrize("sizes", [[900, 60], [380, 60, 50, 40], [300, 20, 13, 12, 400, 9]])
@pytest.mark.parametrize("by_length", [False, True])
def test_a_dominant_class_leaves_places_to_others(sizes, by_length):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    lengths = np.random.default_rng(0).integers(1, 10, size=len(labels)) if by_length else None
    of_one_class = [len(np.unique(batch)) < 2 for batch in batches(labels, 16, lengths=lengths)]
    pairs_of_others = (sum(sizes) - max(sizes)) // 2
    assert sum(of_one_class) <= max(len(of_one_class) - pairs_of_others, 0) + 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=200), st.integers(0, 9), st.integers(8, 33), st.integers(2, 4))
def test_every_text_is_seen_once_per_epoch(others, label, batch_size, samples_per_class):
    labels = [*others, *[label] * samples_per_class]  # at least one class has this many texts
    sampler = LabelBalancedSampler(labels, batch_size, samples_per_class=samples_per_class)
    assert sorted(sampler) == list(range(len(labels)))
    assert len(sampler) == len(labels)


def test_77_equal_classes_fill_a_batch_of_32_with_16_classes():
    labels = np.repeat(np.arange(77), 40)
    classes = [len(np.unique(batch)) for batch in batches(labels, 32)[:-1]]
    assert np.mean(classes) > 15.9
    assert min(classes) >= 14


def test_every_two_classes_meet():
    labels = np.repeat(np.arange(20), 60)
    meetings = np.zeros((20, 20))
    for epoch in range(4):
        for batch in batches(labels, 16, epoch):
            meetings[np.ix_(np.unique(batch), np.unique(batch))] += 1
    often = meetings[~np.eye(20, dtype=bool)]
    assert often.min() > 0.5 * often.mean()


@settings(max_examples=20, deadline=None)
@given(label_sets(), st.integers(4, 33), st.integers(0, 5))
def test_what_is_dropped_is_what_fills_no_batch(labels, batch_size, seed):
    whole = LabelBalancedSampler(labels, batch_size, seed=seed)
    sampler = LabelBalancedSampler(labels, batch_size, seed=seed, drop_last=True)
    assert len(sampler) == len(labels) // batch_size * batch_size
    assert list(sampler) == list(whole)[: len(sampler)]


def test_a_rare_class_is_spread_over_the_epoch():
    labels = [0] * 900 + [1] * 60
    shares = [(batch == 1).sum() for batch in batches(labels, 32)[:-1]]
    assert min(shares) >= 2
    assert max(shares) <= 4


def test_where_others_are_too_rare_they_are_spread_one_pair_to_a_batch():
    labels = [0] * 800 + [1] * 20 + [2] * 20
    mixed = [batch for batch in batches(labels, 32)[:-1] if len(np.unique(batch)) > 1]
    assert len(mixed) >= 18


def test_single_texts_come_last():
    labels = [0] * 20 + [1] * 20 + [2, 3, 4]
    order = list(LabelBalancedSampler(labels, 8))
    assert {labels[index] for index in order[-3:]} == {2, 3, 4}


def test_the_order_depends_on_seed_and_epoch_alone():
    labels = np.repeat(np.arange(5), 20)
    sampler, same, other = (LabelBalancedSampler(labels, 10, seed=seed) for seed in (1, 1, 2))
    first = list(sampler)
    assert first == list(sampler) == list(same)
    assert first != list(other)
    sampler.set_epoch(1)
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    sampler.set_epoch(0)
    assert list(sampler) == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 8, "samples_per_class": 1}, "samples_per_class=1 leaves anchors without positives"),
        ({"batch_size": 5, "samples_per_class": 3}, "batch_size=5 cannot hold two classes with 3 texts each"),
        ({"batch_size": 8, "samples_per_class": 4}, "the most frequent class has 3 texts: use at most 3"),
        ({"batch_size": 8, "labels": [0, 1, 2]}, 'Each of the 3 classes has one text only.*objective="ce"'),
        ({"batch_size": 8, "lengths": [3, 4]}, r"lengths has shape \(2,\) for 6 texts"),
    ],
)
def test_what_cannot_be_had_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LabelBalancedSampler(**{"labels": [0, 0, 0, 1, 1, 2]} | options)


def test_fifty_thousand_texts_are_ordered_in_seconds():
    sampler = LabelBalancedSampler(np.random.default_rng(0).integers(0, 77, size=50_000), 32)
    started = time.process_time()
    order = list(sampler)
    assert time.process_time() - started < 2
    assert sorted(order) == list(range(50_000))
