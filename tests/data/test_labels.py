"""Class names and ids: inferred from the training split, checked in the others."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_lcl import encode_labels
from hf_lcl.data.labels import label_column, label_names


def split(labels, feature=None) -> Dataset:
    """A data set with the given labels and a text for each."""
    features = None if feature is None else Features({"text": Value("string"), "label": feature})
    return Dataset.from_dict(
        {"text": [f"text {row}" for row in range(len(labels))], "label": labels}, features=features
    )


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        (["sad", "glad", "sad"], ["glad", "sad"], [1, 0, 1]),
        ([0, 2, 1], ["0", "1", "2"], [0, 2, 1]),
        ([10, 2, 1], ["1", "2", "10"], [2, 1, 0]),
        ([True, False, True], ["False", "True"], [1, 0, 1]),
    ],
)
def test_names_are_in_order_and_ids_follow_them(labels, names, ids):
    encoded, found = encode_labels(DatasetDict(train=split(labels)))
    assert found == names
    assert encoded["train"]["labels"][:] == ids
    assert encoded["train"].features["labels"].names == names


def test_class_label_columns_keep_their_names_and_their_order():
    feature = ClassLabel(names=["world", "sport", "arts"])
    encoded, names = encode_labels(DatasetDict(train=split([2, 0, 1], feature), test=split([0, 0], feature)))
    assert names == ["world", "sport", "arts"]
    assert encoded["train"]["labels"][:] == [2, 0, 1]


def test_other_splits_get_the_ids_of_the_training_split():
    encoded, _ = encode_labels(DatasetDict(train=split(["a", "b", "c"]), test=split(["c", "b"])))
    assert encoded["test"]["labels"][:] == [2, 1]


def test_a_split_without_labels_stays_as_it_is():
    test = Dataset.from_dict({"text": ["x"]})
    encoded, _ = encode_labels(DatasetDict(train=split(["a", "b"]), test=test))
    assert encoded["test"].column_names == ["text"]


def test_names_that_a_model_knows_are_used():
    encoded, names = encode_labels(DatasetDict(test=split(["b", "a"])), names=["a", "b", "c"])
    assert names == ["a", "b", "c"]
    assert encoded["test"]["labels"][:] == [1, 0]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            {"train": Dataset.from_dict({"text": ["x"], "topic": ["a"]})},
            "no label column 'label'; its columns are text, topic",
        ),
        ({"train": split(["a", None])}, "train split, row 1: label None is empty"),
        ({"train": split(["a", ""])}, "train split, row 1: label '' is empty"),
        ({"train": split([1.0, 0.5])}, "train split, row 0: label 1.0 is a float"),
        ({"train": split([["a", "b"], ["c"]])}, "multi-label classification is not supported yet"),
        ({"train": split(["a", "a"])}, "a single class, 'a'"),
        ({"train": split(["a", "b"]), "test": split(["a", "c"])}, "test split, row 1: label 'c' does not occur"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(splits, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(DatasetDict(splits))


def test_the_label_column_of_a_data_set():
    dataset = encode_labels(DatasetDict(train=split(["b", "a", "b"])))[0]["train"]
    assert label_column(dataset).tolist() == [1, 0, 1]
    assert label_names(dataset) == ["a", "b"]


def test_the_label_column_of_a_torch_data_set():
    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, row):
            return {"input_ids": [1], "labels": torch.tensor(row % 2)}

    assert np.array_equal(label_column(Rows()), [0, 1, 0])
    assert label_names(Rows()) is None


def test_rows_without_any_label_are_refused():
    with pytest.raises(ValueError, match="no column 'labels' or 'label'; its columns are text"):
        label_column(Dataset.from_dict({"text": ["x"]}))
