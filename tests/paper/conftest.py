"""Tiny recurrent models, and a tokenizer of the words of the test data."""

from collections.abc import Callable

import pytest
import torch
from baselines import RecurrentConfig, RecurrentForSequenceClassification, train_word_tokenizer
from datasets import DatasetDict
from transformers import PreTrainedTokenizerFast

from hf_lcl import encode_labels, tokenize_texts


@pytest.fixture(scope="session")
def word_tokenizer(raw_splits) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(raw_splits["train"]["text"])


@pytest.fixture(scope="session")
def word_splits(raw_splits, word_tokenizer) -> DatasetDict:
    encoded, _ = encode_labels(raw_splits)
    return tokenize_texts(encoded, word_tokenizer)


@pytest.fixture
def make_classifier(word_tokenizer) -> Callable[..., RecurrentForSequenceClassification]:
    """A classifier of width 32 for four classes, with the same weights in every test."""

    def make(kind: str = "gru", **settings) -> RecurrentForSequenceClassification:
        torch.manual_seed(0)
        sizes = {"vocab_size": len(word_tokenizer), "embedding_size": 24, "hidden_size": 32, "num_labels": 4}
        return RecurrentForSequenceClassification(RecurrentConfig(kind=kind, **sizes | settings))

    return make
