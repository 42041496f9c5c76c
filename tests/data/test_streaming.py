"""A stream is reordered into balanced batches: several texts per class, every row once, from a bounded buffer."""

import logging
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from torch.utils.data import DataLoader

from hf_lcl.data import balance_stream


def stream(labels) -> list[dict]:
    """Numbered rows with these labels."""
    return [{"input_ids": [row], "labels": int(label)} for row, label in enumerate(labels)]


def numbers(rows) -> list[int]:
    return [row["input_ids"][0] for row in rows]


def batches(rows, batch_size: int) -> list[Counter]:
    """The number of texts by class in each full batch."""
    rows = list(rows)
    starts = range(0, len(rows) - batch_size + 1, batch_size)
    return [Counter(row["labels"] for row in rows[start : start + batch_size]) for start in starts]


LABELS = {
    "equal": np.random.default_rng(0).integers(5, size=1000),
    "many": np.random.default_rng(1).integers(60, size=1000),
    "unequal": np.random.default_rng(2).choice(6, size=1000, p=[0.4, 0.3, 0.14, 0.08, 0.06, 0.02]),
    "rare": np.random.default_rng(3).permutation(np.repeat(np.arange(104), [50] * 4 + [1] * 100)),
    "few": np.array([0, 1, 0]),
    "all alone": np.arange(40),
    "none": np.array([]),
}


@pytest.mark.parametrize("buffer_size", [16, 100, 4096])
@pytest.mark.parametrize("labels", LABELS)
def test_every_row_comes_once(labels, buffer_size):
    order = numbers(balance_stream(stream(LABELS[labels]), batch_size=8, buffer_size=buffer_size))
    assert sorted(order) == list(range(len(LABELS[labels])))


@pytest.mark.parametrize("labels", ["equal", "many", "unequal"])
def test_no_batch_holds_a_text_alone_or_a_single_class(labels):
    rows = balance_stream(stream(LABELS[labels]), batch_size=8, buffer_size=256)
    for batch in batches(rows, 8)[:-2]:
        assert len(batch) >= 2
        assert min(batch.values()) >= 2


def test_a_plain_buffer_would_leave_most_texts_alone():
    alone = sum(list(batch.values()).count(1) for batch in batches(stream(LABELS["many"]), 8))
    assert alone > 700  # of 1000: without balancing, the test above would fail


@pytest.mark.parametrize("samples_per_class", [2, 4])
def test_a_batch_holds_as_many_texts_per_class_as_asked_for(samples_per_class):
    rows = balance_stream(stream(LABELS["equal"]), 16, samples_per_class=samples_per_class, buffer_size=512)
    counts = [texts for batch in batches(rows, 16)[:-2] for texts in batch.values()]
    assert samples_per_class <= np.mean(counts) <= samples_per_class + 1.5


def test_a_row_that_is_alone_waits_for_another_of_its_class():
    labels = np.arange(1000) % 5
    labels[[100, 400]] = 9  # in a buffer of 256 together only if the first one waits
    rows = list(balance_stream(stream(labels), batch_size=8, buffer_size=256))
    together = [batch[9] for batch in batches(rows, 8) if 9 in batch]
    assert together == [2]


def test_rows_are_shuffled_and_frequent_classes_come_in_proportion_all_along():
    rows = list(balance_stream(stream(LABELS["unequal"]), batch_size=8, buffer_size=256))
    order = numbers(rows)
    assert order != sorted(order)
    for part in (rows[:496], rows[496:]):
        share = sum(row["labels"] == 0 for row in part) / len(part)
        assert abs(share - (LABELS["unequal"] == 0).mean()) < 0.05


def test_texts_of_like_length_share_a_batch_where_asked_for():
    lengths = np.random.default_rng(4).integers(1, 40, size=1000)
    rows = [{"input_ids": [0] * length, "labels": row % 5} for row, length in enumerate(lengths)]
    padding = []
    for group_lengths in (False, True):
        balanced = balance_stream(rows, 8, buffer_size=512, group_lengths=group_lengths)
        order = [len(row["input_ids"]) for row in balanced]
        assert sorted(order) == sorted(lengths)
        padding.append(sum(max(batch) * 8 - sum(batch) for batch in np.reshape(order, (-1, 8)).tolist()))
    assert padding[1] < padding[0] / 2


def test_the_buffer_is_bounded():
    read, most = 0, 0

    def source():
        nonlocal read
        for row in stream(LABELS["rare"]):
            read += 1
            yield row

    for given, _ in enumerate(balance_stream(source(), batch_size=8, buffer_size=64)):
        most = max(most, read - given)
    assert most <= 64


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        rows = balance_stream(stream(LABELS["equal"]), 8, buffer_size=64, seed=seed)
        rows.set_epoch(epoch)
        return tuple(numbers(rows))

    assert order(0, 0) == order(0, 0)
    assert order(1, 2) == order(1, 2)
    assert len({order(0, 0), order(1, 0), order(0, 1), order(1, 1)}) == 4


def test_the_source_is_read_in_the_order_of_its_epoch():
    source = IterableDataset.from_generator(lambda: iter(stream(LABELS["equal"][:200]))).shuffle(
        seed=0, buffer_size=50
    )
    rows = balance_stream(source, 8, buffer_size=16, endless=True)
    rows.set_epoch(3)
    read = numbers(islice(rows, 400))
    for epoch, passed in ((3, read[:200]), (4, read[200:])):
        source.set_epoch(epoch)
        in_order = balance_stream(list(source), 8, buffer_size=16, endless=True)
        in_order.set_epoch(epoch)
        assert passed == numbers(islice(in_order, 200))


def test_a_source_of_ones_own_is_told_its_epoch():
    class Source(torch.utils.data.IterableDataset):
        epochs: tuple = ()

        def set_epoch(self, epoch):
            self.epochs += (epoch,)

        def __iter__(self):
            return iter(stream(LABELS["equal"]))

    source = Source()
    rows = balance_stream(source, 8, buffer_size=16, endless=True)
    rows.set_epoch(3)
    assert len(list(islice(rows, 1500))) == 1500
    assert source.epochs == (3, 4)


def test_endless_passes_hold_every_row_once_each_and_keep_the_batches_whole():
    labels = LABELS["equal"][:203]
    rows = list(islice(balance_stream(stream(labels), 8, buffer_size=64, endless=True), 203 * 8))
    assert set(Counter(numbers(rows)).values()) == {8}
    for times in range(1, 8):
        # Rows that do not fill a batch in one pass come in the first batches of the next one, so no row is late.
        assert min(Counter(numbers(rows[: 203 * times])).get(row, 0) for row in range(203)) >= times - 1
    counts = batches(rows[: 203 * 7], 8)
    assert min(map(len, counts)) >= 2
    assert sum(min(batch.values()) < 2 for batch in counts) <= 0.02 * len(counts)
    passes = [tuple(numbers(rows[start : start + 200])) for start in (0, 203, 406)]
    assert len(set(passes)) == 3


def test_an_endless_stream_ends_where_its_source_can_be_read_only_once():
    rows = balance_stream(iter(stream(LABELS["equal"])), 8, buffer_size=64, endless=True)
    assert sorted(numbers(rows)) == list(range(1000))


def test_an_endless_stream_of_less_than_a_batch_fills_batches_with_further_passes():
    rows = islice(balance_stream(stream([0, 1, 0]), 8, endless=True), 24)
    assert Counter(numbers(rows)) == {0: 8, 1: 8, 2: 8}


@pytest.mark.parametrize(("workers", "shards"), [(0, 4), (1, 4), (2, 1), (2, 4)])
def test_workers_share_the_shards_of_a_stream(workers, shards):
    data = Dataset.from_list(stream(LABELS["equal"][:400])).to_iterable_dataset(num_shards=shards)
    loader = DataLoader(
        balance_stream(data, 8, buffer_size=128), batch_size=8, num_workers=workers, collate_fn=lambda rows: rows
    )
    read = list(loader)
    assert sorted(number for rows in read for number in numbers(rows)) == list(range(400))
    pairs = [min(Counter(row["labels"] for row in rows).values()) > 1 for rows in read]
    assert np.mean(pairs) > 0.9


# What cannot be


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples_per_class": 1}, "samples_per_class=1 leaves anchors without positives"),
        ({"batch_size": 3}, "batch_size=3 cannot hold two classes with 2 texts each: use at least 4"),
        ({"buffer_size": 15}, "buffer_size=15 is less than two batches of 8: use at least 16"),
    ],
)
def test_values_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        balance_stream([], **{"batch_size": 8} | settings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"input_ids": [1]}], "no column 'labels' or 'label'; its columns are input_ids"),
        ([{"labels": 0.5}], "class ids must be integers"),
        ([{"labels": "glad"}], "encode_labels turns class names into ids"),
        ([{"labels": [0, 1]}], "rows of 2 labels, but the model has num_labels=4"),
        ([{"labels": 0}, {"labels": 4}], "holds label 4, but the model has num_labels=4"),
        ([{"labels": 0}, {"labels": -1}], "holds label -1, but the model has num_labels=4"),
    ],
)
def test_labels_that_are_no_class_ids(rows, message):
    with pytest.raises(ValueError, match=message):
        list(balance_stream(rows, 8, num_labels=4))


def test_labels_may_be_tensors():
    rows = [{"labels": torch.tensor(row % 2)} for row in range(8)]
    assert len(list(balance_stream(rows, 4))) == 8


def test_a_stream_sorted_by_class_warns_once(caplog):
    logging.getLogger("hf_lcl.data.streaming").propagate = True
    logging.getLogger("transformers").propagate = True
    with caplog.at_level(logging.WARNING):
        list(balance_stream(stream(np.sort(LABELS["equal"])), 8, buffer_size=128))
    warnings = [record for record in caplog.records if "sorted by class" in record.message]
    assert len(warnings) == 1
    assert "buffer_size=128" in warnings[0].message


def test_the_epoch_of_a_worker_is_its_own():
    labels = LABELS["equal"][:200]
    rows = Dataset.from_list(stream(labels)).to_iterable_dataset(num_shards=4).shuffle(seed=0, buffer_size=8)
    balanced = balance_stream(rows, batch_size=10, buffer_size=20)
    orders = {}
    for workers, epoch in ((0, 3), (0, 0), (2, 3), (2, 0)):
        balanced.set_epoch(epoch)
        loader = DataLoader(balanced, batch_size=10, num_workers=workers, collate_fn=numbers)
        orders[workers, epoch] = [number for batch in loader for number in batch]
        assert rows.epoch == 0
    assert orders[0, 0] != orders[0, 3]
    assert orders[2, 0] != orders[2, 3]
    assert all(sorted(order) == list(range(200)) for order in orders.values())
    balanced.set_epoch(3)
    assert numbers(balanced) == orders[0, 3]
