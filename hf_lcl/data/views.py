"""Further views of the texts of a training batch: each text once more, slightly changed, as a positive of itself."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase


VIEWS = ("dropout", "word_dropout", "swap", "mask", "column")
# What the names of the inputs begin with that make up the second view of `"column"`.
VIEW_PREFIX = "view_"
# Tokens that are masked in a row: about the mean of SpanBERT's spans.
SPAN = 3


def texts_alone(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs without those of a second view: what a model takes where there is nothing to contrast."""
    return {name: tensor for name, tensor in inputs.items() if not name.startswith(VIEW_PREFIX)}


@dataclass(frozen=True)
class Views:
    """
    Makes a batch of texts a batch of views: first all texts, then all second views in the same order, and so on.

    `"dropout"` is each text as it is: the model's own dropout makes the difference. The other kinds change the share
    `rate` of a text's tokens, one at least, drawn anew in each step: `"word_dropout"` takes them out, `"mask"` puts
    the tokenizer's mask token in their place, in spans of three, and `"swap"` lets them (two at least) change places
    in a ring. `"column"` is the second view that [`tokenize_texts`] wrote from a column or by a function.

    Special tokens ([CLS], [SEP], padding, ...) are never touched, and one token of each text stays. Tokens that are
    taken out leave no gap: the row is what the tokenizer would have made of the shorter text, which is the one form
    that architectures without an attention mask, recurrent ones and those that count positions all read alike.

    Everything happens in tensors, where the batch lies, and the draws are those of torch's global generator there. So
    the seed of a training run decides them, and a resumed run goes on with the same.

    Papers: [SimCSE](https://huggingface.co/papers/2104.08821) (dropout),
    [EDA](https://huggingface.co/papers/1901.11196) (word dropout and swap),
    [SpanBERT](https://huggingface.co/papers/1907.10529) (spans).

    Args:
        num_views (`int`, *optional*, defaults to 2): views of each text, itself included. 1 changes nothing.
        kind (`str`, *optional*, defaults to `"dropout"`): one of those above; `"column"` knows two views.
        rate (`float`, *optional*, defaults to 0.1): share of a text's tokens, in (0, 1).
        tokenizer (`PreTrainedTokenizerBase`, *optional*): knows the special tokens; needed by `"word_dropout"`,
            `"swap"` and `"mask"`.

    Raises:
        ValueError: for a `tokenizer` that is missing, or has no mask token to mask with.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl.data.views import Views

    >>> batch = tokenizer(["I got the job!", "My train is late again."], padding=True, return_tensors="pt")
    >>> inputs, labels = Views(kind="mask", tokenizer=tokenizer)(batch, torch.tensor([0, 1]))
    >>> labels
    tensor([0, 1, 0, 1])
    ```
    """

    num_views: int = 2
    kind: str = "dropout"
    rate: float = 0.1
    tokenizer: PreTrainedTokenizerBase | None = None

    def __post_init__(self):
        if self.num_views == 1 or self.kind in ("dropout", "column"):
            return
        if self.tokenizer is None:
            raise ValueError(
                f"view={self.kind!r} needs to know the special tokens: pass processing_class=tokenizer, or use "
                "view='dropout'."
            )
        if self.kind == "mask" and self.tokenizer.mask_token is None:
            raise ValueError(
                f"view='mask' needs a mask token, and {type(self.tokenizer).__name__} has none: use "
                "view='word_dropout'."
            )

    def __call__(self, inputs: dict[str, Tensor], labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """
        The views of one batch.

        Args:
            inputs (`dict[str, torch.Tensor]`): the model's, one row per text; for `"column"` those of the second view
                as well, under the same names after `view_`.
            labels (`torch.LongTensor` of shape `(texts,)`): classes.

        Returns:
            `tuple[dict[str, torch.Tensor], torch.LongTensor]`: the model's inputs and the labels, of `num_views` rows
            per text.

        Raises:
            ValueError: for `"column"`, if the batch has no second view.
        """
        texts = texts_alone(inputs)
        views = [texts, *(texts | self._changes(texts, inputs) for _ in range(self.num_views - 1))]
        return {name: torch.cat([view[name] for view in views]) for name in texts}, labels.repeat(self.num_views)

    def _changes(self, texts: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those inputs that are others in a further view."""
        match self.kind:
            case "word_dropout":
                return self._without(texts, self._chosen(texts["input_ids"]))
            case "swap":
                return {"input_ids": self._swapped(texts["input_ids"])}
            case "mask":
                chosen = self._chosen(texts["input_ids"], span=SPAN)
                return {"input_ids": texts["input_ids"].masked_fill(chosen, self.tokenizer.mask_token_id)}
            case "column":
                return self._second_view(inputs)
            case _:
                return {}

    def _second_view(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        view = {name.removeprefix(VIEW_PREFIX): inputs[name] for name in inputs if name.startswith(VIEW_PREFIX)}
        if not view:
            raise ValueError(
                "view='column' found no second view in the batch: write tokenize_texts(splits, tokenizer, "
                "view_column='paraphrase'), and leave data_collator to the trainer."
            )
        return view

    def _drawn(self, ids: Tensor, span: int = 1) -> tuple[Tensor, Tensor]:
        """
        The positions of each row `(rows, length)`, those of ordinary tokens first and at random, `span` neighbours at
        a time; and how many those are `(rows, 1)`.
        """
        special = torch.tensor(self.tokenizer.all_special_ids, dtype=ids.dtype, device=ids.device)
        ordinary = ~torch.isin(ids, special)
        keys = torch.rand(ids.shape, device=ids.device).masked_fill(~ordinary, 2)
        # A token is drawn with the first drawn one of itself and those before it.
        keys = functional.pad(keys, (span - 1, 0), value=2).unfold(1, span, 1).amin(dim=2).masked_fill(~ordinary, 2)
        return keys.argsort(dim=1, stable=True), ordinary.sum(dim=1, keepdim=True)

    def _chosen(self, ids: Tensor, span: int = 1) -> Tensor:
        """Boolean mask `(rows, length)` of the tokens that go; one stays."""
        order, size = self._drawn(ids, span)
        count = torch.minimum((self.rate * size).round().clamp(min=1), size - 1)
        first = torch.arange(ids.shape[1], device=ids.device) < count
        return torch.zeros_like(first).scatter(1, order, first)

    def _swapped(self, ids: Tensor) -> Tensor:
        order, size = self._drawn(ids)
        count = torch.minimum((self.rate * size).round().long().clamp(min=2), size)
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        next_places = torch.where(places < count, (places + 1) % count.clamp(min=1), places)
        return ids.scatter(1, order, ids.gather(1, order.gather(1, next_places)))

    def _without(self, texts: dict[str, Tensor], dropped: Tensor) -> dict[str, Tensor]:
        """The rows after the dropped tokens have become padding, on the side where the tokenizer pads."""
        goes_last = dropped if self.tokenizer.padding_side == "right" else ~dropped
        order = goes_last.int().argsort(dim=1, stable=True)
        padding = dropped.gather(1, order)
        fill = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        return {
            name: tensor.gather(1, order).masked_fill(padding, fill.get(name, 0))
            for name, tensor in texts.items()
            if tensor.shape == dropped.shape
        }
