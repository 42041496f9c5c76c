"""Rows of different lengths become one batch of tensors."""

import pytest
import torch

from hf_lcl import ContrastiveDataCollator


@pytest.fixture
def rows(tokenizer):
    texts = ["rage", "my neighbour was laughing at the party"]
    return [{"text": text, **tokenizer(text), "labels": label} for text, label in zip(texts, (1, 0))]


def test_a_batch_is_padded_to_its_longest_text(rows, tokenizer):
    batch = ContrastiveDataCollator(tokenizer)(rows)
    assert batch["input_ids"].shape == (2, len(rows[1]["input_ids"]))
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(row["input_ids"]) for row in rows]


def test_padding_is_the_tokenizers_own(rows, tokenizer):
    batch = ContrastiveDataCollator(tokenizer)(rows)
    assert set(batch["input_ids"][0, len(rows[0]["input_ids"]) :].tolist()) == {tokenizer.pad_token_id}


def test_lengths_can_be_rounded_up(rows, tokenizer):
    assert ContrastiveDataCollator(tokenizer, pad_to_multiple_of=16)(rows)["input_ids"].shape == (2, 16)


def test_columns_of_text_are_left_out(rows, tokenizer):
    assert "text" not in ContrastiveDataCollator(tokenizer)(rows)


def test_a_text_column_with_a_hole_is_left_out_too(rows, tokenizer):
    rows[0]["text"] = None
    assert "text" not in ContrastiveDataCollator(tokenizer)(rows)


def test_labels_are_a_tensor_of_class_ids(rows, tokenizer):
    labels = ContrastiveDataCollator(tokenizer)(rows)["labels"]
    assert torch.equal(labels, torch.tensor([1, 0]))


def test_a_column_label_is_the_labels_where_there_is_no_other(rows, tokenizer):
    for row in rows:
        row["label"] = row.pop("labels")
    assert ContrastiveDataCollator(tokenizer)(rows)["labels"].tolist() == [1, 0]


def test_a_column_label_does_not_overwrite_labels(rows, tokenizer):
    for row in rows:
        row["label"] = 3
    assert ContrastiveDataCollator(tokenizer)(rows)["labels"].tolist() == [1, 0]


def test_rows_without_labels_make_a_batch_without_labels(rows, tokenizer):
    for row in rows:
        del row["labels"]
    assert "labels" not in ContrastiveDataCollator(tokenizer)(rows)


def test_the_rows_themselves_are_not_changed(rows, tokenizer):
    ContrastiveDataCollator(tokenizer)(rows)
    assert rows[0].keys() == {"text", "input_ids", "token_type_ids", "attention_mask", "labels"}
