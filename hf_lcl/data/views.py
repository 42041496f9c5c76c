"""Further views of the texts of a training batch: each text once more, as a positive of itself."""

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


VIEWS = ("dropout", "column")
# What the names of the inputs begin with that make up the second view of `"column"`.
VIEW_PREFIX = "view_"


def input_columns(taken: list[str], tokenizer: PreTrainedTokenizerBase | None, view: str) -> list[str]:
    """Of the columns that a model takes those that the tokenizer makes, not raw ones that happen to be called so."""
    raw = {"label_ids"} if tokenizer is None else {"label_ids", "position_ids", "inputs_embeds"}
    raw -= set(getattr(tokenizer, "model_input_names", ()))
    columns = [name for name in taken if name not in raw]
    return columns + [VIEW_PREFIX + name for name in columns] if view == "column" else columns


def texts_alone(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs without those of a second view: what a model takes where there is nothing to contrast."""
    return {name: tensor for name, tensor in inputs.items() if not name.startswith(VIEW_PREFIX)}


def batch_of_views(
    inputs: dict[str, Tensor], labels: Tensor, num_views: int = 2, kind: str = "dropout"
) -> tuple[dict[str, Tensor], Tensor]:
    """
    Inputs and labels of a batch with `num_views` rows per text: first all texts, then all second views in the same
    order, and so on. Of the kind `"dropout"`, a view is the text again, and the model's dropout makes the difference
    ([SimCSE](https://huggingface.co/papers/2104.08821)); of the kind `"column"`, it is the one that [`tokenize_texts`]
    wrote, in inputs of the same names after `view_`. Raises a `ValueError` where that is not there.
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
