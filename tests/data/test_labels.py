"""Names and ids in any form become class ids, and errors about unusable labels name their row."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_lcl import encode_labels, load_splits
from hf_lcl.data.labels import class_ids, label_names


def rows(labels: list, column: str = "label") -> Dataset:
    return Dataset.from_dict({"text": [f"text {row}" for row in range(len(labels))], column: labels})


def with_class_label(labels: list[int | None], names: list[str]) -> Dataset:
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    return Dataset.from_dict({"text": ["a"] * len(labels), "label": labels}, features=features)


# Names and ids


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        (["sad", "glad", "sad"], ["glad", "sad"], [1, 0, 1]),
        ([2, 0, 1, 1], ["0", "1", "2"], [2, 0, 1, 1]),
        ([5, 1, 3, 2, 4], ["1", "2", "3", "4", "5"], [4, 0, 2, 1, 3]),
        ([-1, 1, 0], ["-1", "0", "1"], [0, 2, 1]),
        ([True, False], ["False", "True"], [1, 0]),
        (["10", "9"], ["9", "10"], [1, 0]),
        (["10", "9", "09"], ["09", "10", "9"], [1, 2, 0]),
        (["+1", "1", "10", "2"], ["+1", "1", "10", "2"], [0, 1, 2, 3]),
    ],
    ids=[
        "strings",
        "ids_from_0",
        "ids_from_1",
        "negative_ids",
        "booleans",
        "digits_as_strings",
        "leading_zero",
        "sign",
    ],
)
def test_labels_become_class_ids_in_their_own_order(labels, names, ids):
    splits, found = encode_labels(DatasetDict(train=rows(labels)))
    assert (found, splits["train"]["labels"][:]) == (names, ids)


@pytest.mark.parametrize(
    ("train", "test"),
    [(["1", "2", "x"], [2, 1]), ([1, 2], ["2", "1"]), ([True, False], ["True", "False"]), (["no", "yes"], ["yes"])],
    ids=["strings_then_integers", "integers_then_strings", "booleans_then_strings", "fewer"],
)
def test_labels_of_another_split_may_be_of_another_type(train, test):
    splits, names = encode_labels(DatasetDict(train=rows(train), test=rows(test)))
    assert [names[index] for index in splits["test"]["labels"][:]] == [str(label) for label in test]


@pytest.mark.parametrize(("name", "classes"), [("train.csv", ["False", "True"]), ("train.jsonl", ["false", "true"])])
def test_booleans_in_a_file_are_two_classes_by_the_words_that_stand_there(name, classes, tmp_path):
    data = Dataset.from_dict({"text": ["a", "b", "c"], "label": [True, False, True]})
    data.to_csv(tmp_path / name, index=False) if name.endswith("csv") else data.to_json(tmp_path / name)
    splits, names = encode_labels(load_splits({"train": tmp_path / name}))
    assert (names, splits["train"]["labels"][:]) == (classes, [1, 0, 1])


def test_a_class_label_column_meets_names_in_another_split():
    train = with_class_label([1, 0, 2], ["sad", "glad", "calm"])
    splits, _ = encode_labels(DatasetDict(train=train, test=rows(["calm", "sad"])))
    assert splits["test"]["labels"][:] == [2, 0]


def test_twelve_integer_classes_are_in_numeric_order():
    _, names = encode_labels(DatasetDict(train=rows(list(range(12, 0, -1)))))
    assert names == [str(number) for number in range(1, 13)]


def test_a_class_label_column_keeps_its_names_and_their_order():
    splits, names = encode_labels(DatasetDict(train=with_class_label([2, 0, 1], ["sad", "glad", "calm"])))
    assert (names, splits["train"]["labels"][:]) == (["sad", "glad", "calm"], [2, 0, 1])


def test_ids_and_names_round_trip():
    labels = ["b", "a", "c", "a"]
    splits, names = encode_labels(DatasetDict(train=rows(labels)))
    assert [names[index] for index in splits["train"]["labels"][:]] == labels


def test_the_new_column_is_a_class_label_with_the_names():
    splits, names = encode_labels(DatasetDict(train=rows(["b", "a"])))
    assert splits["train"].features["labels"] == ClassLabel(names=names)


def test_the_new_column_replaces_the_old_one():
    splits, _ = encode_labels(DatasetDict(train=rows(["x", "y"], column="intent")), "intent")
    assert splits["train"].column_names == ["text", "labels"]


def test_the_column_may_already_be_called_labels():
    splits, _ = encode_labels(DatasetDict(train=rows(["x", "y"], column="labels")), "labels")
    assert splits["train"]["labels"][:] == [0, 1]


@pytest.mark.parametrize("other", ["label", "labels"])
def test_another_column_of_a_reserved_name_does_not_stay_beside_the_labels(other):
    train = rows(["y", "x"], column="intent").add_column(other, [7, 8])
    splits, _ = encode_labels(DatasetDict(train=train), "intent")
    # A column "label" would silently overwrite "labels" in transformers' collators.
    assert splits["train"]["labels"][:] == [1, 0]
    assert "label" not in splits["train"].column_names


def test_every_split_has_the_ids_of_the_training_split():
    splits, _ = encode_labels(DatasetDict(train=rows(["a", "b", "c"]), test=rows(["c", "b"])))
    assert splits["test"]["labels"][:] == [2, 1]


def test_the_classes_are_those_of_the_training_split_wherever_it_stands():
    splits, names = encode_labels(DatasetDict(test=rows(["c", "b"]), train=rows(["a", "b", "c"])))
    assert (names, splits["test"]["labels"][:]) == (["a", "b", "c"], [2, 1])


def test_a_split_without_the_column_stays_as_it_is():
    test = rows(["x"], column="note")
    splits, _ = encode_labels(DatasetDict(train=rows(["a", "b"]), test=test))
    assert splits["test"].to_dict() == test.to_dict()


def test_given_names_decide_the_ids_where_there_is_no_training_split():
    splits, names = encode_labels(DatasetDict(test=rows(["a", "b", "b"])), names=["b", "a"])
    assert (names, splits["test"]["labels"][:]) == (["b", "a"], [1, 0, 0])


def test_given_names_make_labels_optional():
    splits, _ = encode_labels(DatasetDict(test=rows(["x"], column="note")), names=["b", "a"])
    assert splits["test"].column_names == ["text", "note"]


# Errors


def test_a_missing_column_lists_those_there_are():
    with pytest.raises(ValueError, match=r"train split.*'label'.*'text', 'intent'.*label_column"):
        encode_labels(DatasetDict(train=rows(["a", "b"], column="intent")))


@pytest.mark.parametrize("label", [None, "", "  "])
def test_an_empty_label_is_named_with_its_row(label):
    with pytest.raises(ValueError, match=r"train split, row 1: label .* is empty"):
        encode_labels(DatasetDict(train=rows(["a", label, "b"])))


def test_an_empty_class_label_is_named_with_its_row():
    with pytest.raises(ValueError, match="train split, row 2: label None is empty"):
        encode_labels(DatasetDict(train=with_class_label([0, 1, None], ["a", "b"])))


@pytest.mark.parametrize("labels", [[1.0, 2.0], [0.5, None]])
def test_float_labels_are_refused(labels):
    with pytest.raises(ValueError, match=r"train split, row 0: label .* is a float"):
        encode_labels(DatasetDict(train=rows(labels)))


def test_lists_where_one_label_is_expected_are_refused():
    with pytest.raises(ValueError, match=r"row 0: label \['a'\] holds several values, where one label is expected"):
        encode_labels(DatasetDict(train=rows([["a"], ["b", "c"]])), names=["a", "b"], several=False)


@pytest.mark.parametrize(
    "train", [rows(["a", "a"]), rows([3, 3]), with_class_label([0, 0], ["a"]), with_class_label([1, 1], ["b", "a"])]
)
def test_a_single_class_is_refused_by_name(train):
    with pytest.raises(ValueError, match=r"single class, '[a3]'"):
        encode_labels(DatasetDict(train=train))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_absent_from_training_is_named_with_split_and_row(split):
    splits = DatasetDict({"train": rows(["a", "b"]), split: rows(["a", "b", "new"])})
    with pytest.raises(ValueError, match=rf"{split} split, row 2: label 'new' does not occur.*'a', 'b'"):
        encode_labels(splits)


def test_a_label_that_is_not_among_the_given_names_is_refused():
    with pytest.raises(
        ValueError,
        match="test split, row 0: label 'new' does not occur in the classes of the model; the labels are 'b', 'a'",
    ):
        encode_labels(DatasetDict(test=rows(["new"])), names=["b", "a"])


def test_a_label_is_not_said_to_miss_in_the_very_split_that_has_it():
    with pytest.raises(ValueError, match="test split, row 0: label 'new'") as caught:
        encode_labels(DatasetDict(test=rows(["new"])), names=["b", "a"])
    assert "does not occur in the test split" not in str(caught.value)


def test_some_hidden_labels_are_named_with_their_row():
    splits = DatasetDict(train=with_class_label([0, 1], ["a", "b"]), test=with_class_label([1, -1], ["a", "b"]))
    with pytest.raises(ValueError, match="test split, row 1: label -1"):
        encode_labels(splits)


@pytest.mark.parametrize(
    "test",
    [
        with_class_label([-1, -1], ["a", "b"]),
        rows([-1, -1]),
        rows(["-1", "-1"]),
        rows(["", " "]),
        rows([None, None]),
    ],
)
def test_placeholders_throughout_a_test_split_are_no_labels(test, caplog):
    splits, names = encode_labels(DatasetDict(train=rows(["a", "b"]), test=test))
    assert (names, splits["test"].column_names) == (["a", "b"], ["text"])
    assert "The test split has no labels in column 'label': no metrics." in caplog.text


def test_minus_one_is_a_label_where_it_is_a_class():
    splits, names = encode_labels(DatasetDict(train=rows(["-1", "0", "1"]), test=rows(["-1", "-1"])))
    assert (names, splits["test"]["labels"][:]) == (["-1", "0", "1"], [0, 0])


def test_whether_labels_are_ids_is_decided_over_all_splits():
    splits = DatasetDict(train=rows(["10", "9"]), test=rows(["9", "010"]))
    with pytest.raises(ValueError, match="label '010' does not occur in the train split; the labels are '10', '9'"):
        encode_labels(splits)


def test_decimals_as_strings_are_refused():
    with pytest.raises(ValueError, match=r"labels '0\.5', '1\.5', and each is a float"):
        encode_labels(DatasetDict(train=rows(["1.5", "0.5"])))


def test_an_error_lists_twenty_labels_in_one_line():
    train = rows([f"class {number:05d}" for number in range(1_020)])
    with pytest.raises(ValueError, match="'class 00019' and 1,000 more") as caught:
        encode_labels(DatasetDict(train=train, test=rows(["new\nline"])))
    assert "'class 00020'" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("known", "label", "difference"),
    [
        ("joy", "joy ", "SPACE"),
        ("joy", "Joy", "capitals"),
        ("café", "cafe\u0301", "LATIN SMALL LETTER E, COMBINING ACUTE ACCENT, LATIN SMALL LETTER E WITH ACUTE"),
        ("fi", "ﬁ", "LATIN SMALL LIGATURE FI, LATIN SMALL LETTER F, LATIN SMALL LETTER I"),
        ("joy", "joy\u200b\n", r"ZERO WIDTH SPACE, '\\n'"),
    ],
)
def test_what_differs_in_a_label_that_looks_alike_is_told(known, label, difference):
    with pytest.raises(ValueError, match=rf"\(it looks like '{known}', but for {difference}\)"):
        encode_labels(DatasetDict(train=rows([known, "sad"]), test=rows([label])))


def test_classes_that_look_alike_are_told_of(caplog):
    encode_labels(DatasetDict(train=rows(["joy", "joy ", "sad", "café", "cafe\u0301"])))
    assert (
        "classes that look alike: 'café' like 'cafe\u0301', but for LATIN SMALL LETTER E WITH ACUTE, " in caplog.text
    )
    assert "; 'joy ' like 'joy', but for SPACE." in caplog.text


def test_the_line_of_a_file_is_named_where_it_is_known(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\n")
    (tmp_path / "b.csv").write_text('\ntext,label\n"two\nlines",x\nd,z\n')
    files = {"train": tmp_path / "a.csv", "test": tmp_path / "b.csv"}
    with pytest.raises(ValueError, match=r"The test file .*b\.csv, line 5: label 'z' does not occur"):
        encode_labels(load_splits(files, return_lines=True))


def test_another_column_of_labels_does_not_act_by_its_name():
    train = rows(["a", "b", "a"]).add_column("label_ids", [1, 0, 1])
    splits, _ = encode_labels(DatasetDict(train=train))
    assert splits["train"].to_dict() == {"text": train["text"][:], "labels": [0, 1, 0]}


def test_a_split_without_rows_is_refused():
    with pytest.raises(ValueError, match="train split"):
        encode_labels(DatasetDict(train=rows(["a", "b"]).select([])))


def test_names_mixed_with_numbers_are_refused():
    splits = DatasetDict(train=Dataset.from_list([{"label": "a"}, {"label": 1}], on_mixed_types="use_json"))
    with pytest.raises(ValueError, match="row 1: label 1"):
        encode_labels(splits)


# The labels of a finished data set


class Rows:
    """A map-style data set that is not one of `datasets`."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return {"input_ids": [1, 2], "label": self.labels[row]}


@pytest.mark.parametrize("dataset", [rows([2, 0, 1]), rows([2, 0, 1], column="labels"), Rows([2, 0, 1])])
def test_class_ids_are_read_from_data_sets_of_any_kind(dataset):
    ids = class_ids(dataset)
    assert (ids.tolist(), ids.dtype) == ([2, 0, 1], np.int64)


def test_class_ids_may_be_tensors():
    assert class_ids(Rows([torch.tensor(1), torch.tensor(0)])).tolist() == [1, 0]


def test_the_names_of_an_encoded_data_set_are_known():
    assert label_names(encode_labels(DatasetDict(train=rows(["b", "a"])))[0]["train"]) == ["a", "b"]


@pytest.mark.parametrize("dataset", [rows([0, 1]), Rows([0, 1])])
def test_ids_alone_have_no_names(dataset):
    assert label_names(dataset) is None


def test_the_names_of_a_stream_are_known_where_its_features_are():
    train = encode_labels(DatasetDict(train=rows(["b", "a"])))[0]["train"].to_iterable_dataset()
    assert label_names(train) == ["a", "b"]
    assert label_names(train.map(lambda row: row)) is None


@pytest.mark.parametrize("kind", [rows, Rows])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.0], "float"),
        ([[0], [1, 2]], "rows of 0 and 1"),
        (["a", "b"], "encode_labels"),
        ([0, None], "integers"),
    ],
)
def test_labels_that_are_no_ids_are_refused(kind, labels, message):
    with pytest.raises(ValueError, match=message):
        class_ids(kind(labels))


def test_a_data_set_without_labels_lists_its_columns():
    with pytest.raises(ValueError, match="no column 'labels' or 'label'; its columns are text, note"):
        class_ids(rows(["x"], column="note"))
