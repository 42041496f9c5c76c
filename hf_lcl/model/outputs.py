"""The output of the model."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class LCLOutput(ModelOutput):
    """
    The output of [`LCLForSequenceClassification`].

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*): cross-entropy of `logits`, if labels are given.
        logits (`torch.FloatTensor` of shape `(batch, num_labels)`): the native classifier's, before the softmax.
        weighting_logits (`torch.FloatTensor` of shape `(batch, num_labels)`, *optional*):
            the weighting network's, before the softmax; `None` when `weighting="none"`.
        embeddings (`torch.FloatTensor` of shape `(batch, hidden)`): the pooled last hidden state, not normalised.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): the native model's, if requested.
        attentions (`tuple[torch.FloatTensor]`, *optional*): the native model's, if requested.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    weighting_logits: Tensor | None = None
    embeddings: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
