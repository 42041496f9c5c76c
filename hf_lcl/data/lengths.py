"""How long the texts of a tokenised data set are."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from transformers.utils import logging


logger = logging.get_logger(__name__)


def token_counts(dataset: Any) -> np.ndarray:
    """The number of tokens of each text, of shape `(rows,)`, read without making Python lists of them."""
    if isinstance(dataset, Dataset):
        return pc.list_value_length(dataset.with_format("arrow")["input_ids"][:]).to_numpy()
    return np.array([len(dataset[row]["input_ids"]) for row in range(len(dataset))])


def warn_of_cut_texts(lengths: Iterable[int], limit: int) -> None:
    """Says once that texts are cut, where one has as many tokens as it may have."""
    if any(length == limit for length in lengths):
        logger.warning_once(f"Texts of more than {limit} tokens are cut: --max_seq_length.")
