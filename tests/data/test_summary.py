"""One table summarises the data: classes, lengths, repeated, conflicting and leaked texts, and dropped rows."""

import tracemalloc
from collections import defaultdict

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_lcl import encode_labels, tokenize_texts
from hf_lcl.data import drop_conflicts, summarize
from hf_lcl.data.repeats import repeats, text_keys


def rows(*pairs: tuple[str, str]) -> Dataset:
    """A data set of these texts and labels."""
    return Dataset.from_dict(dict(zip(("text", "label"), map(list, zip(*pairs)))))


TRAIN = [
    ("rage at work", "angry"),
    ("rage at work", "angry"),
    (" rage at work\n", "angry"),
    ("the queue", "annoyed"),
    ("the queue", "angry"),
    ("Rage at work", "annoyed"),
    ("a sunny party with cake", "glad"),
]
TEST = [("a sunny party with cake ", "glad"), ("the queue", "glad"), ("the party", "glad"), ("the party", "angry")]


@pytest.fixture
def prepared(tokenizer):
    """Encoded and tokenised splits, and the class names."""

    def prepare(splits: DatasetDict, columns=("text",), **settings) -> tuple[DatasetDict, list[str]]:
        encoded, names = encode_labels(splits)
        return tokenize_texts(encoded, tokenizer, columns, return_length=True, **settings), names

    return prepare


@pytest.fixture
def summary(prepared):
    splits, names = prepared(DatasetDict(test=rows(*TEST), train=rows(*TRAIN)), max_length=5)
    return summarize(splits, names, dropped={"train": {"several labels": 4}})


# What is counted


def test_rows_and_classes(summary):
    assert summary.names == ["angry", "annoyed", "glad"]
    assert list(summary.splits) == ["test", "train"]  # in the order of the data
    assert summary.splits["train"].rows == 7
    assert summary.splits["train"].per_class == [4, 2, 1]
    assert summary.splits["test"].per_class == [1, 0, 3]


def test_repeats_conflicts_and_leaks_are_counted_in_rows(summary):
    train, test = summary.splits["train"], summary.splits["test"]
    assert (train.duplicates, train.conflicts, train.leaked) == (2, 2, None)
    assert (test.duplicates, test.conflicts, test.leaked) == (0, 2, 2)


def test_lengths_are_those_of_the_whole_texts(summary, tokenizer):
    lengths = sorted(len(tokenizer(text)["input_ids"]) for text, _ in TRAIN)
    train = summary.splits["train"]
    assert (train.median_length, train.longest) == (lengths[3], lengths[-1])
    assert train.long_length == lengths[-1]
    assert train.longest > 5
    assert train.truncated == sum(length > 5 for length in lengths)
    assert 0 < summary.splits["test"].truncated < 4


def test_the_95th_percentile_is_a_length_that_occurs(prepared):
    texts = [("cake " * words, "ab"[words % 2]) for words in range(1, 41)]
    splits, names = prepared(DatasetDict(train=rows(*texts)))
    train = summarize(splits, names).splits["train"]
    assert (train.median_length, train.long_length, train.longest) == (22, 40, 42)


@pytest.mark.parametrize("padding", [False, "max_length"])
@pytest.mark.parametrize("max_length", [4, 6, 7, 8, None])
def test_cut_texts_are_counted_to_the_text(prepared, tokenizer, max_length, padding):
    words = [1, 2, 3, 4, 5, 6, 7, 70, 62, 63]
    splits, names = prepared(
        DatasetDict(train=rows(*[("cake " * n, "ab"[n % 2]) for n in words])), max_length=max_length, padding=padding
    )
    limit = max_length or tokenizer.model_max_length
    assert summarize(splits, names).splits["train"].truncated == sum(n + 2 > limit for n in words)


def test_several_columns_are_one_text(prepared):
    train = Dataset.from_dict(
        {
            "title": ["rage", "rage ", "rage", "cake"],
            "body": ["at work", "at work", "at home", "x"],
            "label": ["a", "b", "a", "b"],
        }
    )
    splits, names = prepared(DatasetDict(train=train), ["title", "body"])
    assert summarize(splits, names, ["title", "body"]).splits["train"].conflicts == 2
    assert summarize(splits, names, ["title"]).splits["train"].conflicts == 3


def test_accents_are_compared_as_they_are_written(prepared):
    one, two = "café", "cafe\N{COMBINING ACUTE ACCENT}"
    splits, names = prepared(DatasetDict(train=rows((one, "a"), (two, "b"), (one, "b"))))
    assert summarize(splits, names).splits["train"].conflicts == 2


def test_a_split_without_labels(prepared):
    test = Dataset.from_dict({"text": ["the queue", "the queue", "new"]})
    splits, names = prepared(DatasetDict(train=rows(*TRAIN), test=test))
    summary = summarize(splits, names)
    found = summary.splits["test"]
    assert (found.per_class, found.conflicts, found.duplicates, found.leaked) == (None, None, 1, 2)
    assert [line.split()[-1] for line in summary.format().splitlines()[2:5]] == ["-"] * 3


def test_without_a_training_split_nothing_leaks(prepared):
    splits, names = prepared(DatasetDict(test=rows(*TRAIN)))
    assert summarize(splits, names).splits["test"].leaked is None


def test_rows_that_were_selected_count_alone(prepared):
    splits, names = prepared(DatasetDict(train=rows(*TRAIN)), max_length=5)
    train = summarize(DatasetDict(train=splits["train"].select([6, 3, 4])), names).splits["train"]
    assert (train.rows, train.per_class, train.conflicts, train.truncated) == (3, [1, 1, 1], 2, 1)


def test_the_table(summary):
    assert summary.format().splitlines() == [
        "                           test  train",
        "rows                          4      7",
        "  angry                       1      4",
        "  annoyed                     0      2",
        "  glad                        3      1",
        "tokens, median                4      5",
        "tokens, 95th percentile       7      7",
        "tokens, longest               7      7",
        "too long, cut                 1      1",
        "same text and label again     0      2",
        "same text, several labels     2      2",
        "text also in train            2      -",
        "dropped: several labels       0      4",
    ]


def test_texts_without_lengths(splits):
    with pytest.raises(ValueError, match=r"train split has no column 'length': .*return_length=True"):
        summarize(splits, ["a", "b", "c", "d"])


def test_a_split_without_rows(prepared):
    splits, names = prepared(DatasetDict(train=rows(*TRAIN), test=rows(*TEST)))
    with pytest.raises(ValueError, match="test split has no rows"):
        summarize(DatasetDict(splits | {"test": splits["test"].select([])}), names)


# Conflicts are dropped


def test_all_rows_of_a_text_with_several_labels_are_dropped_from_training_alone(prepared):
    splits, names = prepared(DatasetDict(train=rows(*TRAIN), test=rows(*TEST)))
    kept, dropped = drop_conflicts(splits)
    assert dropped == 2
    assert kept["train"]["text"][:] == [text for text, _ in TRAIN if text != "the queue"]
    assert kept["test"]["text"][:] == splits["test"]["text"][:]
    summary = summarize(kept, names)
    assert (summary.splits["train"].conflicts, summary.splits["test"].leaked) == (0, 1)


def test_data_of_conflicts_alone(prepared):
    splits, _ = prepared(DatasetDict(train=rows(("cake", "a"), ("cake", "b"))))
    with pytest.raises(ValueError, match="drop_conflicts leaves none"):
        drop_conflicts(splits)


@pytest.mark.parametrize(("text", "message"), [(None, "holds None"), (" ", "is empty")])
def test_a_text_that_is_none_is_named_and_not_compared(text, message):
    train = Dataset.from_dict({"text": ["cake"] * 1200 + [text], "labels": [0, 1] * 600 + [0]})
    with pytest.raises(ValueError, match=f"train split, row 1200, column 'text' {message}"):
        drop_conflicts(DatasetDict(train=train))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", " a", "a ", "A", "c"]), st.integers(0, 2)), min_size=1))
def test_repeats_and_conflicts_are_those_of_a_plain_count(pairs):
    texts, labels = [text.strip() for text, _ in pairs], [label for _, label in pairs]
    of_text = defaultdict(set)
    for text, label in zip(texts, labels):
        of_text[text].add(label)
    keys = text_keys(Dataset.from_dict({"text": [text for text, _ in pairs]}))
    seen = list(zip(texts, labels))
    repeated, conflicting = repeats(keys, np.array(labels))
    assert repeated.tolist() == [pair in seen[:row] for row, pair in enumerate(seen)]
    assert conflicting.tolist() == [len(of_text[text]) > 1 for text in texts]


# Memory


def test_texts_are_not_held_in_memory(tmp_path):
    text = "a long text " * 1000
    data = Dataset.from_generator(
        lambda: (
            {"text": f"{row} {text}", "labels": row % 2, "length": 3, "input_ids": [1, 2]} for row in range(5000)
        ),
        cache_dir=str(tmp_path),
    )
    expected = summarize(DatasetDict(train=data.select(range(10))), ["a", "b"])  # imports must not count
    assert expected.splits["train"].truncated == 10
    tracemalloc.start()
    summarize(DatasetDict(train=data), ["a", "b"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.data.nbytes > 60e6
    assert peak < 40e6
