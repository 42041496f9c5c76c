"""Several labels per text: any form becomes indicator rows, and held-out splits are stratified by label."""

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from hf_lcl.data import drop_conflicts, encode_labels, load_splits
from hf_lcl.data.holding_out import hold_out
from hf_lcl.data.labels import class_ids
from hf_lcl.data.several_labels import indicator_rows, join_label_columns, rarest_labels, split_labels, written_list
from hf_lcl.data.summary import DataSummary, SplitSummary, _several_labels


def of(labels: list, texts: list[str] | None = None) -> DatasetDict:
    texts = texts or [f"text {row}" for row in range(len(labels))]
    return DatasetDict(train=Dataset.from_dict({"text": texts, "labels": labels}))


def test_lists_become_rows_of_0_and_1_in_every_split():
    splits = of([["b", "a"], [], ["a"]])
    splits["test"] = Dataset.from_dict({"text": ["x"], "labels": [["a", "b"]]})
    encoded, names = encode_labels(splits, "labels")
    assert names == ["a", "b"]
    assert encoded["train"]["labels"][:] == [[1, 1], [0, 0], [1, 0]]
    assert encoded["test"]["labels"][:] == [[1, 1]]
    assert encoded["train"].features["labels"] == List(Value("float32"), length=2)
    assert class_ids(encoded["train"]).tolist() == [[True, True], [False, False], [True, False]]


def test_ids_that_are_numbers_are_ordered_by_number_and_named_ids_keep_their_names():
    assert encode_labels(of([[10, 2], [2]]), "labels")[1] == ["2", "10"]
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=["z", "y"]))})
    named = Dataset.from_dict({"text": ["a", "b"], "labels": [[0], [1, 0]]}, features=features)
    encoded, names = encode_labels(DatasetDict(train=named), "labels")
    assert (names, encoded["train"]["labels"][:]) == (["z", "y"], [[1, 0], [1, 1]])


def test_strings_and_columns_give_the_same_lists():
    splits = split_labels(of(["a | b", "", "b|"]), "labels", "|")
    assert splits["train"]["labels"][:] == [["a", "b"], [], ["b"]]
    columns = {"text": ["x", "y", "z"], "a": [True, False, False], "b": ["1", "0", "1.0"]}
    joined = join_label_columns(DatasetDict(train=Dataset.from_dict(columns)), ["a", "b"], "labels")
    assert joined["train"]["labels"][:] == [[0, 1], [], [1]]
    assert encode_labels(joined, "labels")[0]["train"]["labels"][:] == [[1, 1], [0, 0], [0, 1]]


def test_lists_in_a_csv_of_pandas_or_numpy_are_lists(tmp_path):
    labels = [["it's", "b"], [], ["b"], ["b", "c d", "it's"]]
    expected = [[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1]]
    texts = [f"text {row}" for row in range(4)]
    for name, lists in (("pandas", labels), ("numpy", [np.array(some, dtype=object) for some in labels])):
        pd.DataFrame({"text": texts, "label": lists}).to_csv(tmp_path / f"{name}.csv", index=False)
        encoded, names = encode_labels(load_splits(tmp_path / f"{name}.csv", label_column="label"))
        assert names == ["b", "c d", "it's"]
        assert encoded["train"]["labels"][:] == expected
    from_frame, _ = encode_labels(pd.read_csv(tmp_path / "pandas.csv"))
    assert from_frame["labels"][:] == expected
    with pytest.raises(ValueError, match=r"holds lists in column 'label': leave label_delimiter=',' out"):
        split_labels(load_splits(tmp_path / "pandas.csv"), "label", ",")


def test_lists_of_ids_in_a_parquet_file_keep_their_names(tmp_path):
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=["refund", "late", "broken"]))})
    rows = {"text": ["a", "b", "c"], "labels": [[0], [], [2, 1]]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "t.parquet")
    encoded, names = encode_labels(load_splits(tmp_path / "t.parquet", label_column="labels"), "labels")
    assert names == ["refund", "late", "broken"]
    assert encoded["train"]["labels"][:] == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("[2 28]", ["2", "28"]),
        ('["a", "b"]', ["a", "b"]),
        ("[]", []),
        ("[red]", "[red]"),
        ("[['a']]", "[['a']]"),
        ("[0.5]", "[0.5]"),
        ("[1]+[2]", "[1]+[2]"),
        ("a", "a"),
        (None, None),
    ],
)
def test_only_lists_of_names_or_numbers_are_lists(cell, value):
    assert written_list(cell) == value


def test_names_in_brackets_stay_names_where_some_cells_are_no_lists():
    labels = ["['a']", "b", "['a']", "b"]
    encoded, names = encode_labels(of(labels), "labels")
    assert names == ["['a']", "b"]
    assert encoded["train"]["labels"][:] == [0, 1, 0, 1]


def test_an_unknown_label_is_named_with_its_row():
    splits = of([["a"], ["b"]])
    splits["test"] = Dataset.from_dict({"text": ["x", "y"], "labels": [["a"], ["b", "c"]]})
    with pytest.raises(ValueError, match=r"The test split, row 1: label 'c' does not occur in the train split"):
        encode_labels(splits, "labels")
    with pytest.raises(ValueError, match=r"row 0: 'a' is no list of labels: .*label_delimiter"):
        encode_labels(of(["a", "b"]), "labels", names=["a", "b"], several=True)
    with pytest.raises(ValueError, match=r"row 0: column of labels holds \[\['a'\]\]: a label is a name"):
        encode_labels(of([[["a"]], [["b"]]]), "labels")


@pytest.mark.parametrize(
    ("rows", "message"),
    [([[0, 1], [1]], "row 1"), ([[0, 2]], "only 0 and 1"), ([[0.5, 1.0]], "only 0 and 1"), ([[1], [0]], "row 0")],
)
def test_what_is_no_row_of_0_and_1_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        indicator_rows(rows, "labels")


@pytest.mark.parametrize("seed", range(3))
def test_each_label_gives_its_share_and_is_never_lost(seed):
    rng = np.random.default_rng(seed)
    chances = np.array([0.5, 0.2, 0.1, 0.03])
    labels = rng.random((800, 4)) < chances
    labels[:, 3] &= labels[:, 0]  # only texts with the first label have it
    labels = np.column_stack([labels, np.arange(800) == 5, labels[:, 3]])
    parts = hold_out(of(labels.astype(float).tolist()), {"validation": 0.1, "test": 0.2}, seed=seed)
    counts = {name: np.sum(part["labels"][:], axis=0) for name, part in parts.items()}
    assert (counts["train"] > 0).all()
    for share, name in ((0.1, "validation"), (0.2, "test")):
        assert len(parts[name]) == round(share * 800)
        expected = share * labels.sum(axis=0)[:4]
        assert (np.abs(counts[name][:4] - expected) <= 2 + 2 * np.sqrt(expected)).all()


def test_rarest_labels_are_those_of_the_fewest_texts():
    labels = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]], dtype=bool)
    assert rarest_labels(labels).tolist() == [1, 2, 2, 3]
    assert rarest_labels(np.array([2, 0])).tolist() == [2, 0]


def test_a_text_under_two_sets_of_labels_is_a_conflict():
    rows = [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    left, dropped = drop_conflicts(of(rows, ["a", "a", "b", "b"]))
    assert (left["train"]["text"][:], dropped) == (["b", "b"], 2)


def test_the_summary_tells_how_labels_stand_together():
    labels = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    lengths = {"median_length": 3, "long_length": 4, "longest": 5, "truncated": 0, "duplicates": 0}
    split = SplitSummary(
        4, labels.sum(axis=0).tolist(), **lengths, conflicts=0, leaked=None, dropped={}, **_several_labels(labels)
    )
    told = DataSummary(["a", "b", "c"], {"train": split})
    assert told.brief().splitlines() == [
        "4 train texts; 3 classes of 2 to 2 texts",
        "1.50 labels per text; 1 of 4 texts have none; most often together: a with b (2), a with c (1), b with c (1)",
    ]
    assert "labels per text" in told.format()


def test_classes_that_are_lists_of_others_are_told():
    split = SplitSummary(3, [1, 1, 1], 3, 4, 5, 0, 0, 0, None, {})
    told = DataSummary(["a", "a | b", "b"], {"train": split}).brief().splitlines()
    assert told[1] == "a class is others in one cell, such as 'a | b': label_delimiter='|' divides them"
    assert len(DataSummary(["a", "a|c", "b"], {"train": split}).brief().splitlines()) == 1
