"""Additional views of the texts of a training batch, as positives of the same text."""

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


VIEWS = ("dropout", "column")
# Prefix of the names of the second view's inputs, for `"column"`.
VIEW_PREFIX = "view_"
# Column that says which rows of a training batch are names of classes, not texts.
IS_NAME = "hf_lcl_is_name"


def input_columns(taken: list[str], tokenizer: PreTrainedTokenizerBase | None, view: str) -> list[str]:
    """Those columns of `taken` that the tokenizer makes, without raw ones that happen to have the same name."""
    raw = {"label_ids"} if tokenizer is None else {"label_ids", "position_ids", "inputs_embeds"}
    raw -= set(getattr(tokenizer, "model_input_names", ()))
    columns = [name for name in taken if name not in raw]
    return columns + [VIEW_PREFIX + name for name in columns] if view == "column" else columns


def texts_alone(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs without what only the contrastive losses use: a second view, and the mark of the class names."""
    texts = {name: tensor for name, tensor in inputs.items() if not name.startswith(VIEW_PREFIX)}
    texts.pop(IS_NAME, None)
    return texts


def batch_of_views(
    inputs: dict[str, Tensor], labels: Tensor, num_views: int = 2, kind: str = "dropout"
) -> tuple[dict[str, Tensor], Tensor]:
    """
    Inputs and labels of a batch with `num_views` rows per text: first all texts, then all second views in the same
    order, and so on. With `"dropout"`, a view is the same text with another dropout mask
    ([SimCSE](https://huggingface.co/papers/2104.08821)); with `"column"`, it is the second view of [`tokenize_texts`],
    in inputs with the prefix `view_`. Raises a `ValueError` if these are missing.
    """
    texts = second = texts_alone(inputs)
    if kind == "column" and num_views > 1:
        second = {name.removeprefix(VIEW_PREFIX): inputs[name] for name in inputs if name not in texts}
        if not second:
            raise ValueError(
                "view='column' found no second view in the batch: write tokenize_texts(splits, tokenizer, "
                "view_column='paraphrase'), and leave data_collator to the trainer."
            )
    views = [texts, *[texts | second] * (num_views - 1)]
    return {name: torch.cat([view[name] for view in views]) for name in texts}, torch.cat([labels] * num_views)
