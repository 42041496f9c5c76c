"""Embeddings of the frozen encoder: mean pooling, normalised to length 1."""

import numpy as np
from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase

from hf_lcl import LCLForSequenceClassification
from hf_lcl.evaluation.inference import run_model


def frozen_embeddings(encoder: str, tokens: DatasetDict, tokenizer: PreTrainedTokenizerBase) -> dict[str, np.ndarray]:
    """Embeddings `(texts, hidden)` of the tokenised texts of each split."""
    model = LCLForSequenceClassification.from_encoder(encoder, num_labels=2, pooling="mean", weighting="none")
    units = {}
    for name, rows in tokens.items():
        embeddings = run_model(model, rows, tokenizer, batch_size=64, description=name).embeddings
        units[name] = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return units
