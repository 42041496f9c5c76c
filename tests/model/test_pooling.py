"""Pooling: the positions that the embedding is computed from."""

import pytest
import torch
from tiny_architectures import tiny_config
from transformers import AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.model.pooling import default_pooling, pool, token_mask


HIDDEN = torch.arange(2 * 4 * 3, dtype=torch.float32).view(2, 4, 3)
RIGHT_PADDED = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])


def test_cls_is_the_first_position():
    assert torch.equal(pool(HIDDEN, RIGHT_PADDED.bool(), "cls"), HIDDEN[:, 0])


def test_mean_is_over_the_real_tokens():
    expected = torch.stack([HIDDEN[0, :3].mean(dim=0), HIDDEN[1, :2].mean(dim=0)])
    assert torch.allclose(pool(HIDDEN, RIGHT_PADDED.bool(), "mean"), expected)


@pytest.mark.parametrize(("mask", "last"), [(RIGHT_PADDED, [2, 1]), (RIGHT_PADDED.flip(1), [3, 3])])
def test_last_is_the_last_real_token_with_padding_on_either_side(mask, last):
    assert torch.equal(pool(HIDDEN, mask.bool(), "last"), HIDDEN[[0, 1], last])


def test_a_text_of_special_tokens_alone_keeps_them():
    mask = token_mask(HIDDEN, RIGHT_PADDED, ignored=torch.tensor([[True, False, False, False], [True] * 4]))
    assert mask.tolist() == [[False, True, True, False], [True, True, False, False]]


def test_all_positions_count_where_the_architecture_changed_the_length():
    assert token_mask(HIDDEN, torch.ones(2, 9)).all()


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        ("bert", "cls"),
        ("electra", "cls"),
        ("roberta", "cls"),
        ("distilbert", "cls"),
        ("deberta-v2", "cls"),
        ("modernbert", "cls"),
        ("eurobert", "mean"),
        ("llama", "last"),
        ("gpt2", "last"),
        ("xlnet", "last"),
        ("t5", "last"),
        ("perceiver", "mean"),
    ],
)
def test_the_default_is_what_the_architecture_itself_uses(model_type, expected):
    assert default_pooling(AutoModelForSequenceClassification.from_config(tiny_config(model_type))) == expected


def test_mean_leaves_special_tokens_out(encoder_folder, tokenizer):
    model = LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4, pooling="mean").eval()
    batch = tokenizer(["furious neighbour", "cake at the party today"], padding=True, return_tensors="pt")
    with torch.no_grad():
        embeddings = model(**batch).embeddings
        hidden = model.native.bert(**batch).last_hidden_state
    special = torch.tensor(
        [
            tokenizer.get_special_tokens_mask(ids, already_has_special_tokens=True)
            for ids in batch["input_ids"].tolist()
        ]
    )
    for row, keep in enumerate(special == 0):
        assert torch.allclose(embeddings[row], hidden[row][keep].mean(dim=0), atol=1e-6)


def test_unknown_words_and_masks_count_in_the_mean(encoder_folder, tokenizer):
    model = LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4, pooling="mean").eval()
    assert model.config.special_token_ids == [0, 2, 3]  # [PAD], [CLS], [SEP]
    ids = torch.tensor([[2, 1, 4, 40, 3]])  # [CLS] [UNK] [MASK] a word [SEP]
    with torch.no_grad():
        embeddings = model(input_ids=ids).embeddings
        hidden = model.native.bert(input_ids=ids).last_hidden_state
    torch.testing.assert_close(embeddings[0], (hidden[0, 1] + hidden[0, 2] + hidden[0, 3]) / 3)


def test_a_mean_over_nothing_is_zero():
    assert torch.equal(pool(HIDDEN, torch.zeros(2, 4, dtype=torch.bool), "mean"), torch.zeros(2, 3))
