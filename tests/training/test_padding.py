"""Padding goes to the side that the classifier does not read, and tokenizer and model agree on the token."""

import copy

import pytest
import torch
from tiny_architectures import tiny_config
from transformers import AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification


@pytest.fixture
def decoder(tokenizer):
    """A Llama classifier without a padding token, as most decoders are published."""
    config = tiny_config("llama", num_labels=4)
    config.pad_token_id, config.vocab_size = None, len(tokenizer)
    return AutoModelForSequenceClassification.from_config(config)


def test_a_decoder_without_padding_token_gets_its_end_token(make_trainer, decoder, tokenizer):
    bare = copy.deepcopy(tokenizer)
    bare.pad_token, bare.eos_token = None, "[SEP]"
    trainer = make_trainer(decoder, tokenizer=bare, objective="lcl", num_train_epochs=1)
    assert trainer.processing_class.pad_token == "[SEP]"
    trainer.train()
    trainer.save_model()
    saved = AutoModelForSequenceClassification.from_pretrained(trainer.args.output_dir)
    assert saved.config.pad_token_id == bare.convert_tokens_to_ids("[SEP]")


def test_the_embedding_of_a_decoder_is_what_its_classifier_reads(decoder, tokenizer):
    # Also if the padding token is the end token, with which texts end.
    decoder.config.pad_token_id = tokenizer.sep_token_id
    model = LCLForSequenceClassification.from_native(decoder.eval())
    rows = [tokenizer(text)["input_ids"] for text in ("cake", "cake at the party")]
    width = max(map(len, rows))
    for pad in (lambda row, fill: row + fill, lambda row, fill: fill + row):
        ids = torch.tensor([pad(row, [tokenizer.sep_token_id] * (width - len(row))) for row in rows])
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids))
        assert torch.equal(decoder.score(output.embeddings), output.logits)


def test_neither_padding_nor_end_token(make_trainer, decoder, tokenizer):
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = None
    with pytest.raises(ValueError, match="neither a padding nor an end token"):
        make_trainer(decoder, tokenizer=bare)


@pytest.mark.parametrize(("model_type", "wrong", "right"), [("bert", "left", "right"), ("xlnet", "right", "left")])
def test_padding_on_the_side_that_the_classifier_reads(make_trainer, tokenizer, model_type, wrong, right):
    model = AutoModelForSequenceClassification.from_config(tiny_config(model_type, num_labels=4))
    turned = copy.deepcopy(tokenizer)
    turned.padding_side = wrong
    with pytest.raises(ValueError, match=f"write tokenizer.padding_side = '{right}'"):
        make_trainer(model, tokenizer=turned)
