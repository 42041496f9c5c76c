"""The weighting network of the label-aware loss, which predicts the classes that a text may be confused with."""

import copy
from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel

from .classes import class_names


def embedding_size(config: PreTrainedConfig) -> int:
    """Width of the last hidden state of the encoder that `config` describes."""
    if config.model_type == "perceiver":
        return config.d_latents
    hidden_size = config.get_text_config().hidden_size
    # Reformer concatenates the two streams of its reversible layers.
    return 2 * hidden_size if config.model_type == "reformer" else hidden_size


def build_weighting_network(weighting: str, native: PreTrainedModel, native_is_loaded: bool) -> nn.Module | None:
    """
    The module for a value of `LCLConfig.weighting`; `None` for the two without parameters. If the classifier's weights
    are loaded, `"encoder"` is a copy of it with a new classification head.
    """
    if weighting == "head":
        width, num_labels = embedding_size(native.config), len(class_names(native.config))
        layers = {"dense": nn.Linear(width, width), "activation": nn.GELU(), "out_proj": nn.Linear(width, num_labels)}
        head = nn.Sequential(OrderedDict(layers)).to(native.dtype)
        return head.to(native.device) if native_is_loaded else head
    if weighting == "encoder":
        if not native_is_loaded:
            return AutoModelForSequenceClassification.from_config(native.config)
        network = copy.deepcopy(native)
        for name, child in network.named_children():
            if name != network.base_model_prefix:
                child.apply(network._init_weights)  # the one initialiser that knows the architecture
        return network
    return None


def weighting_logits(model: Any, embeddings: Tensor, logits: Tensor, inputs: dict[str, Any]) -> Tensor | None:
    """The weighting logits `(batch, num_labels)` of a wrapper, from its classifier's inputs and outputs."""
    if model.config.weighting == "head":
        return model.weighting_network(embeddings)
    if model.config.weighting == "encoder":
        return model.weighting_network(**inputs).logits
    return logits.detach() if model.config.weighting == "classifier" else None
