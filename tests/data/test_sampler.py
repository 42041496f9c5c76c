"""Batches of several classes with several texts each, whatever the frequencies."""

import time
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_lcl import LabelBalancedSampler


def batches(labels, batch_size, epoch=0, **options) -> list[np.ndarray]:
    """The classes in each batch of an epoch."""
    sampler = LabelBalancedSampler(labels, batch_size, **options)
    sampler.set_epoch(epoch)
    order = np.array(list(sampler))
    return [np.asarray(labels)[order[start : start + batch_size]] for start in range(0, len(order), batch_size)]


@st.composite
def label_sets(draw, smallest=2):
    """Classes of `smallest` to 60 texts, none of which has more than half of all."""
    sizes = draw(st.lists(st.integers(smallest, 60), min_size=2, max_size=12))
    largest = max(sizes)
    if 2 * largest > sum(sizes):
        sizes.append(2 * largest - sum(sizes) + smallest)
    return np.repeat(np.arange(len(sizes)), sizes).tolist()


@settings(max_examples=150, deadline=None)
@given(label_sets(), st.integers(4, 32), st.integers(0, 5), st.integers(0, 3))
def test_every_batch_but_the_last_has_two_classes_with_two_texts_each(labels, half, seed, epoch):
    for batch in batches(labels, 2 * half, epoch, seed=seed)[:-1]:
        counts = np.unique(batch, return_counts=True)[1]
        assert len(counts) >= 2
        assert counts.min() >= 2


@settings(max_examples=80, deadline=None)
@given(label_sets(), st.integers(4, 16), st.integers(0, 5))
def test_odd_batches_leave_at_most_one_text_alone_near_the_end(labels, half, seed):
    # Pairs do not fill an odd batch: it needs a class with an odd number of texts, which may have run out.
    lone = [np.unique(batch, return_counts=True)[1].min() < 2 for batch in batches(labels, 2 * half + 1, seed=seed)]
    assert not any(lone[:-4])
    assert sum(lone[:-1]) <= 1


def harmed(labels, batch_size, **options) -> list[dict[int, int]]:
    """The batches, but for the last, that hold one text alone or one class only: texts by class."""
    counts = (np.unique(batch, return_counts=True) for batch in batches(labels, batch_size, **options)[:-1])
    return [dict(zip(*map(np.ndarray.tolist, count))) for count in counts if len(count[0]) < 2 or count[1].min() < 2]


@cache
def possible(sizes: tuple[int, ...], batch_size: int) -> bool:
    """Whether any order gives each batch but the last two classes and no text alone: tries all of them."""
    if sum(sizes) <= batch_size:
        return True

    def fill(index: int, room: int, classes: int, rest: tuple[int, ...]) -> bool:
        if room == 0:
            return classes >= 2 and possible(tuple(sorted((*rest, *sizes[index:]))), batch_size)
        if index == len(sizes):
            return False
        takes = [0, *range(2, min(sizes[index], room) + 1)]
        return any(fill(index + 1, room - take, classes + (take > 0), (*rest, sizes[index] - take)) for take in takes)

    return fill(0, batch_size, 0, ())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(2, 7), min_size=2, max_size=5), st.integers(4, 11), st.integers(2, 4), st.integers(0, 5))
def test_no_text_is_alone_wherever_any_order_of_a_small_set_can_avoid_it(sizes, batch_size, samples_per_class, seed):
    assume(samples_per_class <= max(sizes) and 2 * samples_per_class <= batch_size < sum(sizes))
    assume(possible(tuple(sorted(sizes)), batch_size))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    assert harmed(labels, batch_size, samples_per_class=samples_per_class, seed=seed) == []


@settings(max_examples=100, deadline=None)
@given(label_sets(smallest=4), st.integers(6, 33), st.integers(2, 3), st.integers(0, 5))
def test_no_text_is_alone_in_odd_batches_either_where_all_classes_have_four(labels, batch_size, portion, seed):
    assert harmed(labels, batch_size, samples_per_class=portion, seed=seed) == []


@pytest.mark.parametrize(
    ("sizes", "batch_size", "seed"),
    [
        ([8, 10, 7], 6, 780737),
        ([4, 6, 5, 4], 6, 545025),
        ([5, 5, 4, 4, 4], 7, 324331),
        ([16, 2, 3, 3, 3, 3, 4], 10, 0),
        ([3, 3, 2, 2], 4, 53344),
        ([2, 5, 4], 5, 24417),
    ],
)
def test_no_text_is_alone_in_sets_whose_ends_are_hard_to_divide(sizes, batch_size, seed):
    assert possible(tuple(sorted(sizes)), batch_size)
    assert harmed(np.repeat(np.arange(len(sizes)), sizes), batch_size, seed=seed) == []


@st.composite
def dominated(draw):
    """A batch size and classes of 7 to 60 texts beside one that leaves them just enough places in each batch."""
    batch_size = 2 * draw(st.integers(3, 32))
    sizes = draw(st.lists(st.integers(7, 60), min_size=1, max_size=12))
    pairs = sum(size // 2 for size in sizes)
    most = (draw(st.integers(2, pairs)) + 1) * batch_size - sum(sizes)
    sizes.append(max(7, most - draw(st.integers(0, batch_size - 1))))
    others = sum(size // 2 for size in sizes) - max(sizes) // 2
    assume(others >= -(-sum(sizes) // batch_size) - 1)
    return batch_size, sizes


@settings(max_examples=150, deadline=None)
@given(dominated(), st.integers(0, 5), st.sampled_from([None, 0, 10]))
def test_a_dominant_class_never_fills_a_batch_alone_where_the_others_suffice(batches, seed, by_class):
    batch_size, sizes = batches
    labels = np.repeat(np.arange(len(sizes)), sizes)
    # Lengths at random, or with every class in a range of its own.
    lengths = np.random.default_rng(seed).integers(0, 10, size=len(labels)) + (by_class or 0) * labels
    sampler = LabelBalancedSampler(labels, batch_size, seed=seed, lengths=None if by_class is None else lengths)
    order = np.array(list(sampler))
    assert sorted(order) == list(range(len(labels)))
    for start in range(0, len(order) - batch_size, batch_size):
        counts = np.unique(labels[order[start : start + batch_size]], return_counts=True)[1]
        assert len(counts) >= 2
        assert counts.min() >= 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=200), st.integers(0, 9), st.integers(8, 33), st.integers(2, 4))
def test_every_text_is_seen_once_per_epoch(others, label, batch_size, samples_per_class):
    labels = [*others, *[label] * samples_per_class]  # of one class, at least, there are as many
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


@pytest.mark.parametrize(("classes", "texts"), [(4, 8), (5, 6), (8, 4), (16, 2)])
def test_so_many_classes_with_so_many_texts(classes, texts):
    labels = np.repeat(np.arange(20), 48)
    for batch in batches(labels, 32, classes_per_batch=classes)[:-1]:
        counts = np.unique(batch, return_counts=True)[1]
        assert len(counts) <= classes
        assert np.median(counts) == texts


def test_classes_that_run_short_make_room_for_others():
    labels = np.repeat(np.arange(20), 4)
    assert all(len(np.unique(batch)) == 4 for batch in batches(labels, 16, classes_per_batch=2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=8), st.integers(4, 33), st.integers(0, 5), st.booleans())
def test_oversampling_draws_every_class_equally_often(sizes, batch_size, seed, by_length):
    assume(max(sizes) > 1)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    lengths = np.random.default_rng(seed).integers(1, 50, size=len(labels)) if by_length else None
    sampler = LabelBalancedSampler(labels, batch_size, oversample=True, lengths=lengths, seed=seed)
    order = np.array(list(sampler))
    assert len(order) == len(sampler) == max(sizes) * len(sizes)
    times = np.bincount(order, minlength=len(labels))
    for label, size in enumerate(sizes):
        share = times[labels == label]
        assert share.sum() == max(sizes)
        assert {share.min(), share.max()} <= {max(sizes) // size, -(-max(sizes) // size)}


def test_oversampling_repeats_no_text_in_a_batch_that_can_do_without():
    labels = np.repeat(np.arange(4), [200, 30, 15, 9])
    order = np.array(list(LabelBalancedSampler(labels, 32, oversample=True)))
    for start in range(0, len(order), 32):
        batch = order[start : start + 32]
        for label, size in enumerate([200, 30, 15, 9]):
            texts = batch[labels[batch] == label]
            assert len(set(texts)) == min(size, len(texts))


@settings(max_examples=40, deadline=None)
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
        ({"batch_size": 8, "classes_per_batch": 1}, "must lie between 2 and .* two texts or more, 2"),
        ({"batch_size": 8, "classes_per_batch": 3}, "must lie between 2 and .* two texts or more, 2"),
        (
            {"batch_size": 8, "classes_per_batch": 2, "samples_per_class": 3, "labels": [0, 0, 0, 1, 1]},
            "2 classes with 3 texts each are more than the 5 texts there are",
        ),
        (
            {"batch_size": 6, "classes_per_batch": 4, "labels": [0, 0, 1, 1, 2, 2, 3, 3]},
            "do not fit batch_size=6: use classes_per_batch=3, or a batch of 8",
        ),
        ({"batch_size": 8, "labels": [0, 1, 2]}, 'Each of the 3 classes has one text only.*objective="ce"'),
        ({"batch_size": 8, "lengths": [3, 4]}, r"lengths has shape \(2,\) for 6 texts"),
    ],
)
def test_what_cannot_be_had_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LabelBalancedSampler(**{"labels": [0, 0, 0, 1, 1, 2]} | options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"lengths": True}])
def test_a_million_texts_are_ordered_in_seconds(options):
    rng = np.random.default_rng(0)
    if "lengths" in options:
        options = {"lengths": rng.geometric(0.05, size=1_000_000)}
    sampler = LabelBalancedSampler(rng.integers(0, 77, size=1_000_000), 32, **options)
    started = time.perf_counter()
    order = list(sampler)
    assert time.perf_counter() - started < 30
    assert sorted(order) == list(range(1_000_000))
