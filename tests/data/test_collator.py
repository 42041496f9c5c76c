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


# A second view


@pytest.fixture
def viewed(rows, tokenizer):
    views = ("my party at home and my party with friend", "laughing")
    return [
        row | {"paraphrase": view} | {f"view_{name}": ids for name, ids in tokenizer(view).items()}
        for row, view in zip(rows, views)
    ]


def test_both_views_are_padded_to_the_longest_of_them(viewed, tokenizer):
    batch = ContrastiveDataCollator(tokenizer)(viewed)
    both = tokenizer([row[column] for column in ("text", "paraphrase") for row in viewed], padding=True)
    for name, rows in both.items():
        assert batch[name].tolist() == rows[:2]
        assert batch[f"view_{name}"].tolist() == rows[2:]


def test_every_tensor_has_one_row_per_text(viewed, tokenizer):
    batch = ContrastiveDataCollator(tokenizer, pad_to_multiple_of=16)(viewed)
    assert {len(tensor) for tensor in batch.values()} == {2}
    assert batch["labels"].tolist() == [1, 0]
    assert batch["input_ids"].shape == batch["view_input_ids"].shape == (2, 16)


def test_views_are_padded_on_the_tokenizers_side(viewed, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "padding_side", "left")
    batch = ContrastiveDataCollator(tokenizer)(viewed)
    assert batch["view_attention_mask"][1].tolist() == [0] * 8 + [1] * 3


def test_rows_with_views_are_not_changed_either(viewed, tokenizer):
    before = [dict(row) for row in viewed]
    ContrastiveDataCollator(tokenizer)(viewed)
    assert viewed == before
