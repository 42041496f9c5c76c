"""Embeddings of the untrained encoder: the mean of the tokens of each text."""

from functools import partial

import pytest
import torch
from tiny_architectures import tiny_config
from transformers import AutoModel, AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.start import mean_embeddings


TEXTS = ["furious shouting rage", "sigh", "party cake laughing medal won applause"]


@pytest.mark.parametrize("architecture", ["bert", "modernbert", "gpt2"], ids=str)
def test_it_is_the_mean_of_the_tokens_of_each_text_alone(tokenizer, tmp_path, architecture):
    torch.manual_seed(0)
    native = AutoModelForSequenceClassification.from_config(tiny_config(architecture))
    native.base_model.save_pretrained(tmp_path)
    bare = AutoModel.from_pretrained(tmp_path).eval()
    encode = partial(tokenizer, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        means = torch.stack([bare(**encode(text)).last_hidden_state[0].mean(dim=0) for text in TEXTS])
    model = LCLForSequenceClassification.from_native(native).train()
    batches = [{**encode(TEXTS[:2], padding=True), "labels": [3, 1]}, {**encode(TEXTS[2:]), "labels": [2]}]
    batches = [{name: torch.as_tensor(values) for name, values in batch.items()} for batch in batches]
    embeddings, labels = mean_embeddings(model, batches)
    torch.testing.assert_close(embeddings, means / means.norm(dim=1, keepdim=True), rtol=0, atol=1e-5)
    assert labels.tolist() == [3, 1, 2]
    assert model.native.training
