"""The logits of a classifier for a few token ids, to test whether another classifier computes the same."""

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


NUM_TOKENS = 16
# They switch to full attention for good at the first text that is too short for sparse attention.
CHANGED_BY_SHORT_TEXTS = ("big_bird", "bigbird_pegasus")


@torch.no_grad()
def probe_logits(native: Any, seed: int = 0) -> Tensor:
    """
    The logits `(1, num_labels)` of a text of made-up tokens, in evaluation mode; on the CPU, in fp32. The seed is for
    architectures that are random in evaluation mode too.
    """
    config = native.config.get_text_config()
    if config.model_type in CHANGED_BY_SHORT_TEXTS:
        native = copy.deepcopy(native)
    vocab_size = getattr(config, "vocab_size", 128)  # CANINE reads code points
    # From the middle of the vocabulary: special tokens stand at its ends. Encoder-decoders classify by the end token.
    ids = torch.linspace(vocab_size // 4, vocab_size // 2, NUM_TOKENS).long()
    if isinstance(config.eos_token_id, int):
        ids[-1] = config.eos_token_id
    modes = {module: module.training for module in native.modules()}
    native.eval()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return native(input_ids=ids[None].to(native.device), return_dict=True).logits.float().cpu()
    finally:
        for module, training in modes.items():
            module.training = training


def computes_the_same(native: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two sequence classifiers give the same logits, up to rounding on another device."""
    try:
        expected, repeated = probe_logits(native), probe_logits(native, seed=1)
    except Exception:  # it needs more than token ids: they cannot be compared
        return True
    if not torch.allclose(expected, repeated, equal_nan=True):  # Reformer hashes at random
        return True
    tolerance = 0.01 if native.dtype == torch.float32 else 0.1
    atol = tolerance * expected.nan_to_num().abs().max().item()
    return torch.allclose(probe_logits(other), expected, rtol=0, atol=atol, equal_nan=True)
