"""The data helpers on data frames and other forms of data."""

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

from hf_lcl import encode_labels, load_splits, tokenize_texts
from hf_lcl.data.loading import as_dataset


ROWS = [{"Body": "it broke", "Queue": "tech"}, {"Body": "my card", "Queue": "cards"}, {"Body": "oh", "Queue": "tech"}]


@pytest.fixture
def csv_file(tmp_path):
    """The rows in a file."""
    path = tmp_path / "tickets.csv"
    pd.DataFrame(ROWS).to_csv(path, index=False)
    return path


def test_a_data_set_alone_stays_one(csv_file, tokenizer):
    for data in (Dataset.from_list(ROWS), pd.DataFrame(ROWS), ROWS, csv_file, str(csv_file)):
        encoded, names = encode_labels(data, "Queue")
        assert (encoded["labels"][:], names) == ([1, 0, 1], ["cards", "tech"])
        assert isinstance(encoded, Dataset)
        assert len(tokenize_texts(encoded, tokenizer, "Body")["input_ids"]) == 3


def test_a_dict_of_any(csv_file):
    splits, _ = encode_labels({"train": csv_file, "test": ROWS[:1], "more": pd.DataFrame(ROWS[1:])}, "Queue")
    assert isinstance(splits, DatasetDict)
    assert {name: split["labels"][:] for name, split in splits.items()} == {
        "train": [1, 0, 1],
        "test": [1],
        "more": [0, 1],
    }


def test_files_and_rows_are_loaded_alike(csv_file):
    for data in (
        csv_file,
        ROWS,
        {"Body": np.array(["it broke", "my card", "oh"]), "Queue": ["tech", "cards", "tech"]},
    ):
        splits = load_splits(data, columns="Body", text_columns="Body")
        assert splits["train"].to_dict() == {"Body": ["it broke", "my card", "oh"]}


def test_what_pandas_adds_or_changes_is_no_column_of_the_user():
    frame = pd.DataFrame(ROWS).astype({"Queue": "category"})
    assert as_dataset(frame[frame.Queue == "tech"]).to_list() == [ROWS[0], ROWS[2]]
    assert as_dataset(pd.DataFrame({"text": ["a", None, float("nan")]}))["text"][:] == ["a", None, None]


def test_polars():
    frame = pytest.importorskip("polars").DataFrame(ROWS)
    assert as_dataset(frame).to_list() == ROWS


def test_what_holds_no_rows():
    with pytest.raises(TypeError, match="cannot be read from a int: give a Dataset, a pandas or polars frame"):
        encode_labels(3)
    with pytest.raises(ValueError, match="values of different types"):
        as_dataset([{"text": "a"}, {"text": 3}])
    with pytest.raises(ValueError, match=r"no label column 'queue'; .*\. Did you mean Queue\?"):
        encode_labels(ROWS, "queue")
