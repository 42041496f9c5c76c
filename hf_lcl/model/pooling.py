"""From the last hidden state of a batch to one embedding per text."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .configuration import LCLConfig


# Decoders whose classifier carries another name than the usual `score`.
LAST_TOKEN_TYPES = ("ctrl", "modernbert-decoder")
# Their decoder reads the text shifted right by one position, and their classifier the last token of that.
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
        or hasattr(native, "score")  # straight on the hidden states: the mark of transformers' decoders
    )
    return "last" if reads_last else "cls"


def token_mask(hidden_states: Tensor, attention_mask: Tensor | None, ignored: Tensor | None = None) -> Tensor:
    """
    Which positions of `hidden_states` `(batch, sequence, hidden)` are real tokens and not `ignored`, as booleans of
    shape `(batch, sequence)`. All of them where the architecture changed the sequence length (Perceiver's latents,
    Funnel's pooled blocks), since no position then belongs to one token.
    """
    shape = hidden_states.shape[:2]
    if attention_mask is None or attention_mask.shape != shape:
        mask = torch.ones(shape, dtype=torch.bool, device=hidden_states.device)
    else:
        mask = attention_mask.bool()
    if ignored is not None and ignored.shape == shape:
        kept = mask & ~ignored
        # A text of special tokens alone keeps them: a mean over nothing is no embedding.
        mask = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
    return mask


def pooled_tokens(config: LCLConfig, hidden_states: Tensor, inputs: dict[str, Any]) -> Tensor:
    """[`token_mask`] for the pooling of a model, from the `inputs` that its architecture was given."""
    mask, ids, ignored = inputs["attention_mask"], inputs.get("input_ids"), None
    text_config = config.text_config
    # Architectures that know no padding (Perceiver) have no such field.
    pad_token_id = getattr(text_config.get_text_config(), "pad_token_id", None)
    if (mask is None or config.pooling == "last") and ids is not None and pad_token_id is not None:
        # As the architectures themselves find the last token, also where padding is an end of text.
        mask = ids != pad_token_id
    if config.pooling == "mean" and config.special_token_ids and ids is not None:
        ignored = torch.isin(ids, torch.tensor(config.special_token_ids, device=ids.device))
    mask = token_mask(hidden_states, mask, ignored)
    if text_config.model_type in SHIFTED_TYPES:  # full rows stay full
        return torch.nn.functional.pad(mask[:, :-1], (1, 0), value=True)
    return mask


def pool(hidden_states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """
    One embedding per text, `(batch, hidden)`, from the last hidden state `(batch, sequence, hidden)` at the positions
    that count, see [`token_mask`]. For `"mean"` and `"last"` padding may be on either side.
    """
    if pooling == "cls":
        return hidden_states[:, 0]
    if pooling == "last":
        positions = torch.arange(mask.shape[1], device=mask.device)
        last = (positions * mask).argmax(dim=1)
        return hidden_states[torch.arange(len(last), device=mask.device), last]
    weights = mask.unsqueeze(-1).to(hidden_states.dtype)
    return (hidden_states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
