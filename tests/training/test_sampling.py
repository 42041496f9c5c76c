"""The batches of a training: the order of the sampler, through the Trainer's own dataloader."""

from collections import Counter

import numpy as np
import pytest
from sampling_process import SIZES as SHARED
from sampling_process import Steps, classifier, draw_with, row_numbers, rows

from hf_lcl.data.lengths import token_counts


SIZES = {
    "equal": [16] * 12,
    "odd": [7, 9, 11, 13, 15, 17, 19],
    "zipf": [300, 150, 100, 75, 60, 50, 43, 38, 33, 30, 9, 5, 4, 2],
    "dominated": [380, 20, 13, 12, 10],
    "two": [90, 30],
    "few texts": [5] * 40,
}
OPTIONS = {
    "plain": {},
    "four of a class": {"samples_per_class": 4},
    "lengths": {"lengths": True},
    "whole batches": {"drop_last": True},
}


@pytest.mark.parametrize(
    ("sizes", "options"), [*((sizes, "plain") for sizes in SIZES), *(("zipf", options) for options in OPTIONS)][:-1]
)
def test_every_batch_has_positives_and_negatives_and_every_text_comes(make_trainer, sizes, options):
    sizes, options = SIZES[sizes], OPTIONS[options]
    drop_last = options.get("drop_last", False)
    model = classifier(max(4, len(sizes)))  # the evaluation set has four classes
    trainer = make_trainer(model, train=rows(sizes), objective="scl", dataloader_drop_last=drop_last)
    sampler = draw_with(trainer, **options)
    loader = trainer.get_train_dataloader()
    orders = []
    for epoch in range(3):
        loader.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == len(loader) == -(-len(sampler) // 16)
        counts = [np.unique(batch["labels"], return_counts=True)[1] for batch in batches[:-1]]
        groups_of_others = (sum(sizes) - max(sizes)) // options.get("samples_per_class", 2)
        assert sum(len(count) < 2 for count in counts) <= max(len(batches) - groups_of_others, 0) + 6
        # With four texts per class in batches of 16, each class of five texts leaves one over.
        assert sum((count == 1).sum() for count in counts) <= (1 if "samples_per_class" in options else 0.2) * len(
            counts
        )
        order = [row for batch in batches for row in row_numbers(batch)]
        assert len(order) == len(sampler)
        times = Counter(order)
        assert len(times) == len(order) == sum(sizes) - drop_last * (sum(sizes) % 16)
        orders.append(tuple(order))
    assert len(set(orders)) == 3


def test_lengths_spare_padding(make_trainer):
    trainer = make_trainer(classifier(14), train=rows(SIZES["zipf"]), objective="scl")
    shares = []
    for lengths in (False, True):
        draw_with(trainer, lengths=lengths)
        masks = [batch["attention_mask"] for batch in trainer.get_train_dataloader()]
        shares.append(1 - sum(mask.sum() for mask in masks) / sum(mask.numel() for mask in masks))
    assert shares[0] > 0.35
    assert shares[1] < 0.15


def test_tokens_are_counted_in_any_data_set():
    data = rows([5, 6])
    expected = [len(text) for text in data["input_ids"]]
    assert token_counts(data).tolist() == expected
    assert token_counts(data.select(range(10, 4, -1))).tolist() == expected[10:4:-1]
    assert token_counts([{"input_ids": [1, 2]}, {"input_ids": [3]}]).tolist() == [2, 1]


def taken_steps(make_trainer, checkpoint=None, **settings) -> Steps:
    """The rows of each step of a run of three epochs."""
    trainer = make_trainer(
        classifier(4),
        train=rows([20, 17, 15, 12]),
        objective="scl",
        per_device_train_batch_size=8,
        num_train_epochs=3,
        save_strategy="steps",
        save_steps=4,
        **settings,
    )
    draw_with(trainer, lengths=True)
    steps = Steps(trainer)
    trainer.train(resume_from_checkpoint=checkpoint)
    return steps


@pytest.mark.slow
def test_a_resumed_run_draws_what_it_would_have_drawn(make_trainer, tmp_path):
    whole = taken_steps(make_trainer, folder="whole")
    assert len(whole) == 24
    for step in (12, 16, 20):  # in the middle of an epoch of 8 steps, at its end, in the middle of the last
        checkpoint = tmp_path / "whole" / f"checkpoint-{step}"
        assert list(taken_steps(make_trainer, checkpoint, folder=f"resumed-{step}")) == whole[step:]
    for epoch in range(3):
        assert sorted(row for batch in whole[8 * epoch : 8 * epoch + 8] for row in batch) == list(range(64))


@pytest.mark.parametrize("batch_size", [4, 64])
def test_a_run_may_go_on_with_another_batch_size(make_trainer, tmp_path, batch_size):
    settings, epochs = {"objective": "scl", "train": rows([20, 17, 15, 12])}, 1 if batch_size == 4 else 6
    make_trainer(
        classifier(4), per_device_train_batch_size=8, save_strategy="steps", save_steps=5, max_steps=5, **settings
    ).train()
    trainer = make_trainer(
        classifier(4), per_device_train_batch_size=batch_size, folder="second", num_train_epochs=epochs, **settings
    )
    draw_with(trainer, lengths=True)
    trainer.train(resume_from_checkpoint=tmp_path / "out" / "checkpoint-5")
    assert trainer.state.global_step == epochs * 64 // batch_size


@pytest.mark.slow
def test_two_processes_share_the_batches_also_after_a_resume(two_processes):
    labels = np.array(rows(SHARED)["labels"][:])
    first, second = (process["steps"] for process in two_processes)
    assert len(first["whole"]) == len(second["whole"]) == 2 * 5
    orders = []
    for epoch in range(2):
        steps = zip(first["whole"][5 * epoch : 5 * epoch + 5], second["whole"][5 * epoch : 5 * epoch + 5])
        batches = [batch for both in steps for batch in both]
        # 66 rows are eight batches of 8 and two more texts; accelerate fills up with the first texts of the epoch.
        order = [row for batch in batches for row in batch]
        assert sorted(order[:66]) == list(range(66))
        assert order[66:] == order[:14]
        for batch in batches[:8]:
            counts = np.unique(labels[batch], return_counts=True)[1]
            assert len(counts) >= 2
            assert counts.min() >= 2
        orders.append(tuple(order))
    assert len(set(orders)) == 2
    for process in (first, second):
        assert process["resumed"] == process["whole"][7:]
