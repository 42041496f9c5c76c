"""How long the texts of a tokenised data set are."""

from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset


def token_counts(dataset: Any) -> np.ndarray:
    """
    The number of tokens of each text, read without making Python lists of them.

    Args:
        dataset (`datasets.Dataset` or a map-style `torch.utils.data.Dataset`): rows with `input_ids`.

    Returns:
        `np.ndarray` of shape `(rows,)` and an integer dtype.

    Example:

    ```python
    >>> from datasets import Dataset
    >>> from hf_lcl.data.lengths import token_counts

    >>> token_counts(Dataset.from_dict({"input_ids": [[101, 102], [101, 7592, 102]]})).tolist()
    [2, 3]
    ```
    """
    if isinstance(dataset, Dataset):
        return pc.list_value_length(
            dataset.select_columns("input_ids").with_format("arrow")[:]["input_ids"]
        ).to_numpy()
    return np.array([len(dataset[row]["input_ids"]) for row in range(len(dataset))])
