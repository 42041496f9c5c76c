"""Collates rows of token ids to one padded batch."""

from typing import Any

from torch import Tensor
from transformers import DataCollatorWithPadding

from .views import VIEW_PREFIX


class ContrastiveDataCollator(DataCollatorWithPadding):
    """
    Pads a batch to its longest text and leaves out columns of strings (the texts themselves). Takes the arguments of
    `DataCollatorWithPadding`: `tokenizer`, `padding`, `max_length`, `pad_to_multiple_of`.

    Called with a list of rows, it returns a `dict[str, torch.Tensor]` with `input_ids`, `attention_mask` and `labels`.
    Rows with a second view (see [`tokenize_texts`]) also give `view_input_ids` and so on, padded to the same length,
    so that every tensor has one row per text.

    Example:

    ```python
    >>> from hf_lcl import ContrastiveDataCollator

    >>> batch = ContrastiveDataCollator(tokenizer)([{"input_ids": [101, 7592, 102], "labels": 0}])
    >>> batch["labels"]
    tensor([0])
    ```
    """

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Tensor]:
        # Strings cannot become tensors, and a column `label` or `label_ids` would replace `labels`.
        left_out = {name for row in features for name, value in row.items() if isinstance(value, str)}
        if "labels" in features[0]:
            left_out |= {"label", "label_ids"}
        rows = [{k: v for k, v in row.items() if k not in left_out} for row in features]
        of_view = [name for name in rows[0] if name.startswith(VIEW_PREFIX)]
        if not of_view:
            return super().__call__(rows)
        views = [{name.removeprefix(VIEW_PREFIX): row.pop(name) for name in of_view} for row in rows]
        batch = super().__call__(rows + [row | view for row, view in zip(rows, views)])
        both = {name: tensor.split(len(rows)) for name, tensor in batch.items()}
        texts = {name: first for name, (first, _) in both.items()}
        return texts | {name: both[name.removeprefix(VIEW_PREFIX)][1] for name in of_view}
