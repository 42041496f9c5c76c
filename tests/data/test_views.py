"""A batch of texts becomes a batch of views."""

import pytest
import torch

from hf_lcl import ContrastiveDataCollator, tokenize_texts
from hf_lcl.data.views import batch_of_views, texts_alone


TEXTS = ["my neighbour was laughing at the party today", "rage", "the medal", "a cake and friend at home", ""]
LABELS = torch.tensor([0, 1, 2, 3, 1])


@pytest.fixture
def batch(tokenizer):
    return dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))


@pytest.mark.parametrize("num_views", [1, 2, 3])
def test_dropout_views_are_the_texts_themselves_in_their_order(num_views, batch):
    batch["language"] = torch.arange(len(TEXTS))  # inputs other than tokens are repeated too
    inputs, labels = batch_of_views(batch, LABELS, num_views)
    assert inputs.keys() == batch.keys()
    for name, tensor in inputs.items():
        assert torch.equal(tensor, torch.cat([batch[name]] * num_views))
    assert labels.tolist() == LABELS.tolist() * num_views


def test_the_tokens_of_a_column_become_the_second_view(raw_splits, tokenizer):
    splits = raw_splits.map(lambda row: {"paraphrase": row["text"].replace("the", "my a my"), "labels": 1})
    train = tokenize_texts(splits, tokenizer, view_column="paraphrase")["train"].select(range(6))
    batch = ContrastiveDataCollator(tokenizer)([train[row] for row in range(6)])
    labels = batch.pop("labels")
    inputs, labels = batch_of_views(batch, labels, kind="column")
    expected = tokenizer(train["text"][:] + train["paraphrase"][:], padding=True, return_tensors="pt")
    assert inputs.keys() == expected.keys()
    assert all(torch.equal(inputs[name], expected[name]) for name in inputs)
    assert labels.tolist() == [1] * 12


def test_an_input_that_the_second_view_lacks_is_that_of_the_text(batch):
    language = torch.arange(len(TEXTS))
    view = batch["input_ids"].flip(0)
    inputs, _ = batch_of_views({**batch, "language": language, "view_input_ids": view}, LABELS, kind="column")
    assert torch.equal(inputs["input_ids"], torch.cat([batch["input_ids"], view]))
    assert torch.equal(inputs["language"], language.repeat(2))


def test_an_evaluation_takes_the_texts_alone(batch):
    assert texts_alone(batch | {f"view_{name}": tensor for name, tensor in batch.items()}) == batch


def test_columns_of_a_view_that_is_not_asked_for_are_left_out(batch):
    inputs, _ = batch_of_views(batch | {"view_input_ids": batch["input_ids"].flip(0)}, LABELS)
    assert inputs.keys() == batch.keys()
    assert torch.equal(inputs["input_ids"], batch["input_ids"].repeat(2, 1))


def test_a_batch_without_the_column_says_how_to_write_it(batch):
    with pytest.raises(ValueError, match=r"tokenize_texts\(splits, tokenizer, view_column='paraphrase'\)"):
        batch_of_views(batch, LABELS, kind="column")
