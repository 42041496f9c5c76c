"""Recurrent baselines: word embeddings and an RNN, GRU or LSTM, learned from scratch on the user's own texts."""

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from .building import build_baseline
from .recurrent import RecurrentConfig, RecurrentForSequenceClassification, RecurrentModel
from .word_tokenizer import train_word_tokenizer


__all__ = [
    "RecurrentConfig",
    "RecurrentForSequenceClassification",
    "RecurrentModel",
    "build_baseline",
    "train_word_tokenizer",
]

AutoConfig.register(RecurrentConfig.model_type, RecurrentConfig, exist_ok=True)
AutoModel.register(RecurrentConfig, RecurrentModel, exist_ok=True)
AutoModelForSequenceClassification.register(RecurrentConfig, RecurrentForSequenceClassification, exist_ok=True)
