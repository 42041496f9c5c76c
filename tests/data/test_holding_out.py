"""Held-out splits are stratified by class, and share no text with the training split."""

import os
import subprocess
import sys

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, load_from_disk

from hf_lcl.data.holding_out import hold_out
from hf_lcl.data.holding_out import test_share as share_of_test


def splits(labels: list[int], texts: list[str] | None = None) -> DatasetDict:
    texts = texts or [f"text {row}" for row in range(len(labels))]
    return DatasetDict(train=Dataset.from_dict({"text": texts, "labels": labels}))


def counts(dataset: Dataset) -> list[int]:
    return np.bincount(dataset["labels"][:]).tolist()


def test_each_class_gives_its_share():
    parts = hold_out(splits([0] * 100 + [1] * 50 + [2] * 10), {"validation": 0.1, "test": 0.2})
    assert {name: len(part) for name, part in parts.items()} == {"train": 112, "validation": 16, "test": 32}
    for share, name in ((0.1, "validation"), (0.2, "test")):
        assert np.abs(np.array(counts(parts[name])) - share * np.array([100, 50, 10])).max() <= 2
    every = sorted(text for part in parts.values() for text in part["text"][:])
    assert every == sorted(f"text {row}" for row in range(160))


def test_equal_texts_stay_on_one_side():
    rng = np.random.default_rng(0)
    texts = [f" text {number}" if number % 2 else f"text {number} " for number in rng.integers(0, 60, 300)]
    parts = hold_out(splits(rng.integers(0, 4, 300).tolist(), texts), {"validation": 0.1, "test": 0.2})
    seen = [{text.strip() for text in part["text"][:]} for part in parts.values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@pytest.mark.parametrize("seed", range(5))
def test_a_class_is_never_left_without_training_texts(seed):
    labels = [0] * 2 + [1] * 3 + [2] + [3] * 40 + [4, 4]
    texts = [f"text {row}" for row in range(len(labels))]
    texts[-1] = texts[-3]  # under class 3 as well
    parts = hold_out(splits(labels, texts), {"validation": 0.3, "test": 0.5}, seed=seed)
    assert set(parts["train"]["labels"][:]) == {0, 1, 2, 3, 4}


@pytest.mark.slow
def test_the_draw_is_that_of_the_seed_in_every_process(tmp_path):
    """Python's string hashes differ between processes."""
    splits([0, 1] * 50).save_to_disk(tmp_path / "splits")
    code = (
        "import sys; from datasets import load_from_disk; from hf_lcl.data.holding_out import hold_out;"
        "print(hold_out(load_from_disk(sys.argv[1]), {'test': 0.2})['test']['text'][:])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "splits")],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = hold_out(load_from_disk(tmp_path / "splits"), {"test": 0.2})["test"]["text"][:]
    assert ran.stdout.strip() == str(here)
    assert hold_out(splits([0, 1] * 50), {"test": 0.2}, seed=1)["test"]["text"][:] != here


def test_columns_and_other_splits_stay():
    given = splits([0, 1] * 20)
    given["test"] = Dataset.from_dict({"text": ["other"], "labels": [0]})
    parts = hold_out(given, {"validation": 0.1})
    assert list(parts) == ["train", "validation", "test"]
    assert parts["test"]["text"][:] == ["other"]


@pytest.mark.parametrize(
    ("labels", "shares", "message"),
    [
        ([0, 1] * 20, {"test": 0.0}, "test_split=0.0 must be above 0 and at most 0.5"),
        ([0, 1] * 20, {"test": 0.6}, "test_split=0.6 must be above 0"),
        ([0, 1], {"validation": 0.1}, "2 rows are too few.* of 10%.*: add texts, .* or validation_split=0.3."),
        ([0, 1], {"validation": 0.3}, "text gives none.: add texts, or give a validation file.$"),
        ([0, 1] * 20, {"train": 0.1}, "The data has a train split"),
    ],
)
def test_refusals(labels, shares, message):
    with pytest.raises(ValueError, match=message):
        hold_out(splits(labels), shares)


def test_a_small_set_gives_a_larger_share():
    assert [share_of_test(rows) for rows in (100, 8000, 50_000)] == [0.2, 0.125, 0.1]
