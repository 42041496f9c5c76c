"""The mean embeddings of texts, before anything was trained."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from ..model.hidden_states import run_with_last_hidden_state
from ..model.modeling import LCLForSequenceClassification
from ..model.pooling import pool, token_mask


@torch.no_grad()
def mean_embeddings(
    model: LCLForSequenceClassification,
    batches: Iterable[dict[str, Tensor]],
    *,
    gather: Callable[[Any], Any] = lambda tensors: tensors,
    description: str = "embeddings",
) -> tuple[Tensor, Tensor]:
    """
    The mean of the token embeddings of each text, normalised to length 1: what an encoder says of texts before it is
    trained, also if its classifier reads the first token. The model is returned to the mode (training or evaluation)
    that it was in.

    Args:
        model ([`LCLForSequenceClassification`]): the wrapper of any classifier.
        batches (`Iterable[dict[str, torch.Tensor]]`): tokenised texts with `labels`, on the model's device.
        gather (`Callable`, *optional*): collects a tuple of tensors from all processes.
        description (`str`, *optional*): of the progress bar.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: on the CPU, embeddings `(texts, hidden)` in fp32 and the labels.
    """
    was_training = model.training
    model.eval()
    embeddings, labels = [], []
    try:
        for batch in tqdm(batches, desc=description, leave=False):
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            _, states = run_with_last_hidden_state(model.native, inputs)
            means = pool(states.float(), token_mask(states, inputs.get("attention_mask")), "mean")
            found, classes = gather((functional.normalize(means, dim=1), batch["labels"]))
            embeddings.append(found.cpu())
            labels.append(classes.cpu())
    finally:
        model.train(was_training)
    return torch.cat(embeddings), torch.cat(labels)
