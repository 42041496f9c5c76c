"""The weighting network of the label-aware loss: which classes is a text likely to be confused with?"""

import copy

import torch
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


class WeightingHead(nn.Module):
    """
    Dense, activation, linear on the embedding of the classifier's own encoder.

    Args:
        hidden_size (`int`): width of the embedding.
        num_labels (`int`): number of classes.
    """

    def __init__(self, hidden_size: int, num_labels: int):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = nn.GELU()
        self.out_proj = nn.Linear(hidden_size, num_labels)

    def forward(self, embeddings: Tensor) -> Tensor:
        """From embeddings `(batch, hidden)` to weighting logits `(batch, num_labels)`."""
        return self.out_proj(self.activation(self.dense(embeddings)))

    @torch.no_grad()
    def reorder_classes(self, order: list[int]) -> None:
        """Puts the classes into another order: for each new id the old one."""
        for parameter in self.out_proj.parameters():
            parameter.copy_(parameter[order])


def build_weighting_network(weighting: str, native: PreTrainedModel, native_is_loaded: bool) -> nn.Module | None:
    """
    The module behind a value of `LCLConfig.weighting`.

    Args:
        weighting (`str`): `"head"`, `"encoder"`, `"classifier"` or `"none"`.
        native (`PreTrainedModel`): the classifier that is wrapped.
        native_is_loaded (`bool`): whether `native` has its weights, on its device; `"encoder"` then starts from them,
            with a classification head of its own. Otherwise all of this is about to be loaded.

    Returns:
        `nn.Module`, or `None` for the two that have no parameters.
    """
    if weighting == "head":
        head = WeightingHead(embedding_size(native.config), len(class_names(native.config))).to(native.dtype)
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
