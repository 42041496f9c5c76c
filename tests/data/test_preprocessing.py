"""Texts become token ids once; the cache of datasets knows it."""

import json
import subprocess
import sys

import pytest
from datasets import Dataset, DatasetDict

from hf_lcl import ContrastiveDataCollator, tokenize_texts


def one(**columns) -> DatasetDict:
    """A train split with the given columns."""
    return DatasetDict(train=Dataset.from_dict(columns))


def test_ids_are_the_tokenizers(tokenizer):
    row = tokenize_texts(one(text=["cake today"]), tokenizer)["train"][0]
    assert row["input_ids"] == tokenizer("cake today")["input_ids"]


def test_several_columns_are_joined(tokenizer):
    splits = tokenize_texts(one(title=["cake"], body=["today"]), tokenizer, ["title", "body"], delimiter=" at ")
    assert splits["train"][0]["input_ids"] == tokenizer("cake at today")["input_ids"]


def test_long_texts_are_cut_and_short_ones_padded_where_asked_for(tokenizer):
    splits = tokenize_texts(one(text=["cake " * 20, "cake"]), tokenizer, max_length=8, padding="max_length")
    assert [len(ids) for ids in splits["train"]["input_ids"]] == [8, 8]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"words": ["x"]}, "train split has no text column 'text'; its columns are words"),
        ({"text": ["x", None]}, "train split, row 1, column 'text' holds None, not a text"),
        ({"text": ["x", "  "]}, "train split, row 1, column 'text' is empty"),
        ({"text": [1, 2]}, "train split, row 0, column 'text' holds 1, not a text"),
    ],
)
def test_texts_that_are_none_are_refused(columns, message, tokenizer):
    with pytest.raises(ValueError, match=message):
        tokenize_texts(one(**columns), tokenizer)


def test_a_second_process_finds_every_split_in_the_cache(encoder_folder, tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"cake {name}"}))
    script = """
import sys
from transformers import AutoTokenizer
from hf_lcl import load_splits, tokenize_texts
folder, encoder = sys.argv[1:]
splits = load_splits({name: f"{folder}/{name}.jsonl" for name in ("train", "test")})
splits = tokenize_texts(splits, AutoTokenizer.from_pretrained(encoder), max_length=16)
print([split.cache_files[0]["filename"] for split in splits.values()])
"""
    command = [sys.executable, "-c", script, str(tmp_path), str(encoder_folder)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert "Tokenizing test" in runs[0].stderr
    assert "Tokenizing" not in runs[1].stderr


def test_batches_are_padded_to_their_longest_text_and_hold_no_text(tokenizer):
    rows = [{"text": text, "labels": 1, **tokenizer(text)} for text in ("cake", "cake at the party")]
    batch = ContrastiveDataCollator(tokenizer)(rows)
    assert batch["input_ids"].shape == (2, 6)
    assert batch["attention_mask"].sum(dim=1).tolist() == [3, 6]
    assert batch["labels"].tolist() == [1, 1]
    assert "text" not in batch
