"""From the last hidden state of a batch to one embedding per text."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .configuration import LCLConfig


# Decoders whose classifier does not have the usual name `score`.
LAST_TOKEN_TYPES = ("ctrl", "modernbert-decoder")
# Their decoder reads the text shifted right by one position, and their classifier the last token of the result.
SHIFTED_TYPES = ("t5gemma", "t5gemma2")


def default_pooling(native: PreTrainedModel) -> str:
    """The pooling (`"cls"`, `"mean"` or `"last"`) that an architecture's own sequence classifier uses."""
    config = native.config
    if config.model_type == "perceiver":
        return "mean"
    classifier_pooling = getattr(config, "classifier_pooling", None)
    if classifier_pooling is not None:
        return "cls" if classifier_pooling in ("cls", "bos") else "mean"
    reads_last = (
        config.is_encoder_decoder
        or config.model_type in LAST_TOKEN_TYPES
        or getattr(config, "summary_type", None) == "last"
        or hasattr(native, "score")  # a linear layer on the hidden states, as in transformers' decoders
    )
    return "last" if reads_last else "cls"


def token_mask(hidden_states: Tensor, attention_mask: Tensor | None, ignored: Tensor | None = None) -> Tensor:
    """
    A boolean mask `(batch, sequence)` of the positions of `hidden_states` `(batch, sequence, hidden)` that are real
    tokens and not `ignored`. All are, if the architecture changed the sequence length (Perceiver's latents, Funnel's
    pooled blocks), since positions then do not belong to single tokens.
    """
    shape = hidden_states.shape[:2]
    if attention_mask is None or attention_mask.shape != shape:
        mask = torch.ones(shape, dtype=torch.bool, device=hidden_states.device)
    else:
        mask = attention_mask.bool()
    if ignored is not None and ignored.shape == shape:
        kept = mask & ~ignored
        # A text of special tokens only keeps them, since a mean over no tokens is undefined.
        mask = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
    return mask


def pooled_tokens(config: LCLConfig, hidden_states: Tensor, inputs: dict[str, Any]) -> Tensor:
    """[`token_mask`] for the pooling of a model, from the `inputs` of its forward pass."""
    mask, ids, ignored = inputs["attention_mask"], inputs.get("input_ids"), None
    text_config = config.text_config
    # Architectures without padding (Perceiver) have no such field.
    pad_token_id = getattr(text_config.get_text_config(), "pad_token_id", None)
    if (mask is None or config.pooling == "last") and ids is not None and pad_token_id is not None:
        # The architectures find the last token in the same way, also if they pad with the end-of-text token.
        mask = ids != pad_token_id
    if config.pooling == "mean" and config.special_token_ids and ids is not None:
        ignored = torch.isin(ids, torch.tensor(config.special_token_ids).to(ids.device, non_blocking=True))
    mask = token_mask(hidden_states, mask, ignored)
    if text_config.model_type in SHIFTED_TYPES:  # full rows stay full
        return torch.nn.functional.pad(mask[:, :-1], (1, 0), value=True)
    return mask


def pool(hidden_states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """
    One embedding per text, `(batch, hidden)`, from the last hidden state `(batch, sequence, hidden)` at the positions
    of the [`token_mask`]. For `"mean"` and `"last"`, padding may be on either side.
    """
    if pooling == "cls":
        return hidden_states[:, 0]
    if pooling == "last":
        positions = torch.arange(mask.shape[1], device=mask.device)
        last = (positions * mask).argmax(dim=1)
        return hidden_states[torch.arange(len(last), device=mask.device), last]
    weights = mask.unsqueeze(-1).to(hidden_states.dtype)
    return (hidden_states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
