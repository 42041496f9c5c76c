"""Close classes meet more often, by the knob, and every text is still seen once."""

import numpy as np
import pytest
import torch

from hf_lcl import LabelBalancedSampler
from hf_lcl.data.sampler_callbacks import ConfusableClassesCallback


CLASSES = 30
PAIRS = np.arange(CLASSES) ^ 1  # 0 and 1 are close, 2 and 3, and so on


def similarity() -> np.ndarray:
    matrix = np.full((CLASSES, CLASSES), 0.001)
    matrix[np.arange(CLASSES), PAIRS] = 1.0
    return matrix


def meetings(share: float, lengths: bool = False) -> float:
    """How often a class in a batch has its neighbour beside it."""
    labels = np.repeat(np.arange(CLASSES), 40)
    lengths = np.random.default_rng(0).integers(5, 60, size=len(labels)) if lengths else None
    sampler = LabelBalancedSampler(labels, 16, confusable_share=share, lengths=lengths)
    sampler.set_similarity(similarity())
    found = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = np.array(list(sampler))
        assert sorted(order) == list(range(len(labels)))
        for start in range(0, len(order) - 16, 16):
            classes, counts = np.unique(labels[order[start : start + 16]], return_counts=True)
            assert counts.min() >= 2
            found += np.isin(PAIRS[classes], classes).tolist()
    return np.mean(found)


@pytest.mark.parametrize("lengths", [False, True])
def test_close_classes_meet_the_more_often_the_greater_the_share(lengths):
    often = [meetings(share, lengths) for share in (0.0, 0.25, 0.5, 1.0)]
    assert often[0] < 0.3  # 7 of the 29 others
    assert np.all(np.diff(often) > 0.05)
    assert often[-1] > (0.6 if lengths else 0.8)


def test_nothing_changes_before_a_similarity_is_known_or_without_a_share():
    labels = np.repeat(np.arange(CLASSES), 40)
    plain = list(LabelBalancedSampler(labels, 16))
    assert list(LabelBalancedSampler(labels, 16, confusable_share=0.7)) == plain
    sampler = LabelBalancedSampler(labels, 16)
    sampler.set_similarity(similarity())
    assert list(sampler) == plain


def test_the_order_depends_on_seed_epoch_and_similarity_alone():
    labels = np.repeat(np.arange(CLASSES), 40)
    first, second = (LabelBalancedSampler(labels, 16, confusable_share=0.5) for _ in range(2))
    first.set_similarity(np.ones((CLASSES, CLASSES)))
    for sampler in (first, second):
        sampler.set_similarity(3 * similarity())
    assert list(first) == list(first) == list(second)


def test_similarity_is_looked_up_by_class_id():
    """Class 3 has no texts: its row and column are passed over."""
    labels = np.repeat([0, 1, 2, 4, 5, 6, 7, 8, 9], 40)
    matrix = np.zeros((10, 10))
    matrix[0, 9] = matrix[9, 0] = matrix[0, 3] = 1.0
    sampler = LabelBalancedSampler(labels, 8, confusable_share=1.0)
    sampler.set_similarity(matrix)
    order = np.array(list(sampler))
    batches = [set(labels[order[start : start + 8]]) for start in range(0, len(order) - 8, 8)]
    with_both = [batch for batch in batches if {0, 9} <= batch]
    assert len(with_both) > 0.8 * len([batch for batch in batches if 0 in batch])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 2)), r"shape \(2, 2\): it needs a row and a column for each of the 3 classes"),
        (np.ones((3, 4)), r"shape \(3, 4\)"),
        (np.ones(3), r"shape \(3,\)"),
        (-np.ones((3, 3)), "negative numbers or nan"),
        (np.full((3, 3), np.nan), "negative numbers or nan"),
    ],
)
def test_a_similarity_that_does_not_fit_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        LabelBalancedSampler([0, 0, 1, 1, 2, 2], 4).set_similarity(matrix)


def test_the_confusion_is_the_mean_probability_of_each_class():
    callback = ConfusableClassesCallback()
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 3
    callback.observe(labels[:20], logits[:20])
    callback.observe(labels[20:], logits[20:].to(torch.bfloat16))
    expected = torch.stack([logits.softmax(-1)[labels == label].sum(0) for label in range(4)])
    torch.testing.assert_close(callback.confusion, expected, atol=0.05, rtol=0.0)
