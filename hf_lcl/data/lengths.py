"""Lengths of the texts of a tokenised data set."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from transformers.utils import logging


logger = logging.get_logger(__name__)

# Tokens per batch on a CPU core: with more, activations leave the cache, and each token takes a fifth longer.
TOKENS_AT_ONCE = 256


def token_counts(dataset: Any) -> np.ndarray:
    """The number of tokens of each text, of shape `(rows,)`, if possible without making Python lists of them."""
    first = dataset[0]
    name = "input_ids" if "input_ids" in first else "inputs_embeds"
    if isinstance(dataset, Dataset) and name in dataset.column_names and dataset.format["type"] != "custom":
        column = dataset.with_format("arrow")[name][:]
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            return pc.list_value_length(column).to_numpy()
    return np.array([len(dataset[row][name]) for row in range(len(dataset))])


def warn_of_cut_texts(lengths: Iterable[int], limit: int) -> None:
    """Warns once that texts are truncated, if any has `limit` tokens."""
    if any(length == limit for length in lengths):
        logger.warning_once(f"Texts of more than {limit} tokens are cut: --max_seq_length.")


def batches_by_length(lengths: np.ndarray, batch_size: int, max_tokens: int | None = None) -> Iterator[np.ndarray]:
    """
    Batches of the row indices of texts with these `lengths`, longest first, so that memory runs out at once if at all.
    A batch has `batch_size` rows, or fewer if it would exceed `max_tokens` with padding. Lengths of 3, 9, 4, 2 and 1,
    a size of 3 and 8 tokens give the rows [1], [2, 0] and [3, 4].
    """
    order, start = np.argsort(-lengths, kind="stable"), 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        size = batch_size if max_tokens is None else max(1, min(batch_size, max_tokens // longest))
        yield order[start : start + size]
        start += size
