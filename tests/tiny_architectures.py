"""Tiny randomly initialised models for every sequence classification architecture of Transformers.

[`tiny_config`] shrinks the default configuration of an architecture by the *names* of its fields, so that an
architecture added by a later release of Transformers is normally covered without a change here; what the names do not
tell is listed in `OVERRIDES`. [`tiny_inputs`] builds a padded batch that the architecture accepts, and
[`tiny_wrapper`] both. `EVERY_ARCHITECTURE` are the parameters of a test that has to hold for each of them.

Examples:

```python
>>> config = tiny_config("bert")
>>> model = AutoModelForSequenceClassification.from_config(config)
>>> model(**tiny_inputs("bert", config)).logits.shape
torch.Size([6, 5])

>>> model, inputs = tiny_wrapper("bert")
>>> model(**inputs).embeddings.shape
torch.Size([6, 32])
```
"""

import copy
import dataclasses
import functools
import inspect
import re
from typing import Any

import pytest
import torch
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from hf_lcl import LCLForSequenceClassification
from hf_lcl.model.loading import CANNOT_BE_WRAPPED


ARCHITECTURES = [name for name in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES if name not in CANNOT_BE_WRAPPED]
# Always tested; the others are slow.
COMMON = ["bert", "electra", "roberta", "distilbert", "deberta-v2", "modernbert", "llama", "t5"]
EVERY_ARCHITECTURE = [pytest.param(name, marks=[] if name in COMMON else pytest.mark.slow) for name in ARCHITECTURES]

VOCAB_SIZE = 128
HIDDEN_SIZE = 32
NUM_LAYERS = 2
NUM_HEADS = 4
MAX_POSITIONS = 64
# Row lengths of a batch, special tokens included. The longest is a multiple of every window, chunk and pooling size.
ROW_LENGTHS = (16, 5, 9, 12, 3, 16)

# Upper bound of an integer field by its name: the first pattern that matches the whole name wins, and a field that
# matches none keeps its default.
SIZE_RULES: tuple[tuple[str, int], ...] = (
    (r"(\w+_)?vocab_size", VOCAB_SIZE),
    # Depth.
    (r"(num|n)_(\w+_)?layers?|(encoder|decoder)_layers|depth", NUM_LAYERS),
    (r"num_self_attends_per_block|num_feedforward_networks", NUM_LAYERS),
    (r"first_k_dense_replace", 1),
    # Heads.
    (r"(\w+_)?(num|n)_(\w+_)?heads?|(encoder|decoder)_attention_heads", NUM_HEADS),
    (r"(\w+_)?head_dim|attention_head_size|d_head|d_kv|kv_channels", HIDDEN_SIZE // NUM_HEADS),
    (r"rotary_dim", HIDDEN_SIZE // NUM_HEADS // 2),
    # Low-rank projections and state space layers.
    (r"\w+_rank|mamba_d_state", 8),
    # Mixture of experts: two groups of two experts keep the routing non-trivial.
    (r"(num|n)_(routed_|local_)?experts", 4),
    (r"num_experts_per_tok|n_group", 2),
    (r"topk_group", 1),
    # Width. DistilBERT calls its feed-forward width `hidden_dim`.
    (r"(\w+_)?(intermediate|ffn_hidden|feed_forward)_size|(\w+_)?ffn_dim", 2 * HIDDEN_SIZE),
    (r"d_ff|dff|d_inner|hidden_dim", 2 * HIDDEN_SIZE),
    (r"(\w+_)?(hidden|emb|embedding|bottleneck|head)_size|(\w+_)?(emb|embed|embd)(_proj)?_dim", HIDDEN_SIZE),
    (r"d_model|dim|n_embd|d_latents", HIDDEN_SIZE),
    # Images: the batches are text only, but the image encoder is a part of the model.
    (r"image_size|input_size", 32),
    (r"patch_size", 8),
    (r"mm_tokens_per_image", 4),
    (r"num_position_embeddings", 16),
)
POSITION_FIELDS = r"max_(2d_)?position_embeddings|n_positions|max_seq_len"
KEY_VALUE_HEADS = ("num_key_value_heads", "num_kv_heads")
# Sizes that some architectures neither default nor derive, although their modeling code needs them.
UNSET_SIZES = ("vocab_size", "head_dim", "num_key_value_heads", "num_experts_per_tok")

# Replacements of the special token ids that do not fit the tiny vocabulary.
SPECIAL_IDS = {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
    "mask_token_id": 3,
    "decoder_start_token_id": 0,
}

# Fields that the rules by name do not cover, by the model type of the configuration (also of nested ones).
OVERRIDES: dict[str, dict[str, Any]] = {
    # The model turns its sparse attention off if a row has no more than 5 + 2 * num_random_blocks blocks.
    "big_bird": {"block_size": 2, "num_random_blocks": 1},
    "bigbird_pegasus": {"block_size": 2, "num_random_blocks": 1},
    # One embedding table per hash function, and one is as large as a model here.
    "canine": {"num_hash_buckets": 64},
    # The default is empty, but the model reads the entry of each kind of its layers, which are all of this one.
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    # The depth is written as the number of layers of each block; a second block makes the model pool.
    "funnel": {"block_sizes": (1, 1)},
    # The kinds of layers are unrolled from this field, whose repetitions make up the depth.
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    # Attention comes every 8 layers by default, and a model without any fails to read the length of its cache.
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    # Embeddings of 4 coordinates and 2 sides of a box are concatenated to the hidden size: 4 * 6 + 2 * 4 = 32.
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    # Six box embeddings are concatenated to the hidden size, which is then divided by the heads and by 4.
    "lilt": {"hidden_size": 48},
    # Rows are padded to a multiple of the window inside the model, 512 by default.
    "longformer": {"attention_window": 4},
    # Two embedding tables for each of 50 depths of the XPath; the padding id has to stay in the shrunk one.
    "markuplm": {"max_depth": 4, "max_xpath_subs_unit_embeddings": 16, "subs_pad_id": 15},
    # In training, rows must have exactly prod(axial_pos_shape) tokens; the embedding sizes add up to the hidden size.
    # It seeds its dropout from the clock, so outputs with dropout cannot be compared.
    "reformer": {
        "axial_pos_shape": (4, 4),
        "axial_pos_embds_dim": (8, 24),
        "hash_seed": 0,
        "hidden_dropout_prob": 0.0,
        "local_attention_probs_dropout_prob": 0.0,
    },
    # The model shifts its decoder inputs with this id, which is not a field of its configuration.
    "t5": {"decoder_start_token_id": 0},
    # The adapter of each language is chosen by the batch or, without language ids, by this default.
    "xmod": {"default_language": "en_XX"},
    # The hybrid layers share the weights of one transformer block: with a single one there is nothing to tie, which
    # Zamba refuses and which would leave the tied weights of Zamba2 out of the tests.
    "zamba": {"num_hidden_layers": 3, "layers_block_type": ["linear_attention", "hybrid", "hybrid"]},
    "zamba2": {"num_hidden_layers": 3, "layers_block_type": ["linear_attention", "hybrid", "hybrid"]},
}


def _special_ids(config: PreTrainedConfig) -> dict[str, list[int]]:
    """Returns the special token ids that are set; some architectures list alternatives for one role."""
    values = {name: getattr(config, name, None) for name in SPECIAL_IDS}
    return {name: v if isinstance(v, list) else [v] for name, v in values.items() if v is not None}


def _shrink_special_ids(config: PreTrainedConfig, vocab_size: int | None) -> dict[str, int]:
    """Returns the special token ids to replace for a vocabulary of `vocab_size` tokens (`None`: no limit)."""
    ids = _special_ids(config)
    # A decoder may start from the padding token, but no token of a row may look like padding.
    of_rows = {i for name in ids.keys() - {"pad_token_id", "decoder_start_token_id"} for i in ids[name]}
    pad = ids.get("pad_token_id", [None])[0]
    too_large = vocab_size is not None and any(i >= vocab_size for values in ids.values() for i in values)
    if pad is None or pad in of_rows or too_large:
        # Replaces all of them, so that no replacement equals the id of another one.
        return {name: SPECIAL_IDS[name] for name in {"pad_token_id", *ids}}
    return {}


def _size_bound(name: str, config: PreTrainedConfig) -> int | None:
    """Returns the upper bound of the field `name` of a default configuration, `None` if the field is no size."""
    if name in KEY_VALUE_HEADS:
        # Keep the grouped-query attention of the architecture, or its absence.
        heads = vars(config).get(config.attribute_map.get("num_attention_heads", "num_attention_heads"))
        return NUM_HEADS if vars(config).get(name) in (None, heads) else NUM_HEADS // 2
    if re.fullmatch(POSITION_FIELDS, name):
        # Rotary positions have no table to shrink, and some of them are scaled by the original length.
        return MAX_POSITIONS if getattr(config, "rope_parameters", None) is None else None
    return next((size for pattern, size in SIZE_RULES if re.fullmatch(pattern, name)), None)


def _shrink(config: PreTrainedConfig, **kwargs: Any) -> PreTrainedConfig:
    """
    Rebuilds a default configuration with small sizes.

    Only what is declared as a field is passed on, so that whatever `__post_init__` derives from other fields (the
    width of a head, the rank of a projection, ...) is derived again from the small ones.
    """
    overrides = OVERRIDES.get(config.model_type, {})
    fields = {field.name: field.default for field in dataclasses.fields(config)}
    small: dict[str, Any] = {}
    depth = getattr(config, "num_hidden_layers", None)

    for name, default in fields.items():
        # Not `getattr`, which raises for the fields of heterogeneous models that differ between the layers.
        value = vars(config).get(name)
        if isinstance(value, PreTrainedConfig):
            small[name] = _shrink(value)
        elif isinstance(value, list | tuple) and len(value) == depth:
            # One entry per layer: keep one layer of each kind before repeating any.
            kinds = list(dict.fromkeys(value))
            small[name] = [kinds[i % len(kinds)] for i in range(NUM_LAYERS)]
        elif isinstance(default, int) and not isinstance(default, bool):
            small[name] = min(default, _size_bound(name, config) or default)
        elif value is None and name in UNSET_SIZES:
            small[name] = _size_bound(name, config)

    special_ids = _shrink_special_ids(config, small.get("vocab_size"))
    small.update({name: value for name, value in special_ids.items() if name in fields})
    return type(config)(**{**small, **overrides, **kwargs})


def tiny_config(model_type: str, num_labels: int = 5) -> PreTrainedConfig:
    """
    Returns a configuration of a tiny model.

    Args:
        model_type (`str`):
            A key of `MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES`.
        num_labels (`int`, *optional*, defaults to 5):
            Number of labels of the classification head.

    Returns:
        [`PreTrainedConfig`]: A configuration for `AutoModelForSequenceClassification.from_config`. A padding token is
        set where the architecture has none, also on nested configurations, because decoders need it to find the last
        token of each row.
    """
    return _shrink(CONFIG_MAPPING[model_type](), num_labels=num_labels)


def tiny_inputs(model_type: str, config: PreTrainedConfig) -> dict[str, torch.Tensor]:
    """
    Returns a batch of rows of different lengths, padded at the right (XLNet: at the left).

    Each row is one leading special token (`[CLS]` or `<bos>`), ordinary tokens and exactly one `<eos>`, because some
    encoder-decoders pool the last `<eos>` and want the same number of them in every row.

    Args:
        model_type (`str`):
            The model type of `config`.
        config ([`PreTrainedConfig`]):
            A configuration from [`tiny_config`].

    Returns:
        `dict[str, torch.Tensor]`: The `input_ids` and, if the architecture takes one, the `attention_mask`.
    """
    text_config = config.get_text_config()
    special_ids = _special_ids(text_config)

    def pick(names: tuple[str, ...], taken: set[int]) -> int:
        # Many configurations name none of these tokens, and OPT gives one id to both ends of a row.
        candidates = [i for name in names for i in special_ids.get(name, [])]
        return next(i for i in [*candidates, *(SPECIAL_IDS[name] for name in names), 0] if i not in taken)

    pad = pick(("pad_token_id",), set())
    last = pick(("eos_token_id", "sep_token_id"), {pad})
    first = pick(("cls_token_id", "bos_token_id", "mask_token_id"), {pad, last})
    vocab_size = min(VOCAB_SIZE, getattr(text_config, "vocab_size", VOCAB_SIZE))
    ordinary = torch.tensor(sorted(set(range(vocab_size)) - {pad, first, last}.union(*special_ids.values())))

    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(ordinary), (len(ROW_LENGTHS), max(ROW_LENGTHS)), generator=generator)
    input_ids = ordinary[draws]
    lengths = torch.tensor(ROW_LENGTHS)[:, None]
    positions = torch.arange(max(ROW_LENGTHS))[None, :]
    input_ids[:, 0] = first
    input_ids[positions == lengths - 1] = last
    input_ids[positions >= lengths] = pad
    inputs = {"input_ids": input_ids}

    forward = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[CONFIG_MAPPING[model_type]].forward
    # FNet mixes all the positions with a Fourier transform, which cannot skip any.
    if "attention_mask" in inspect.signature(forward).parameters:
        inputs["attention_mask"] = (positions < lengths).long()
    if model_type == "xlnet":
        # Its classifier reads the last position, where its tokenizer puts the special token of a row.
        inputs = {name: tensor.flip(1) for name, tensor in inputs.items()}
    return inputs


def tiny_wrapper(model_type: str) -> tuple[LCLForSequenceClassification, dict[str, torch.Tensor]]:
    """
    Returns a tiny wrapper with random weights, the same in every call, and a batch for it.

    Args:
        model_type (`str`):
            One of `ARCHITECTURES`.

    Returns:
        `tuple[LCLForSequenceClassification, dict[str, torch.Tensor]]`: The model in evaluation mode, and its inputs.
    """
    model, inputs = copy.deepcopy(_built(model_type))
    torch.manual_seed(0)
    return model, inputs


@functools.cache
def _built(model_type: str) -> tuple[LCLForSequenceClassification, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    config = tiny_config(model_type)
    native = AutoModelForSequenceClassification.from_config(config)
    return LCLForSequenceClassification.from_native(native.eval()), tiny_inputs(model_type, config)
