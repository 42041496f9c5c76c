"""Distils the mean of an encoder's token embeddings into its first token."""

import copy
from collections.abc import Callable, Iterable
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup

from ..model.modeling import LCLForSequenceClassification
from ..model.pooling import pool, token_mask
from .unsupported import UnsupportedModelError


# Number of texts after which the first token classifies as well as the mean does. Small data sets are repeated, but
# not so often that the encoder forgets what it has learned of other texts.
MAX_TEXTS = 3_200
MAX_PASSES = 10
# Texts whose targets are cached: larger sets are read less than twice.
KEPT_TEXTS = MAX_TEXTS // 2
LEARNING_RATE = 4e-4
WARMUP_RATIO = 0.1
# Weight of the loss that keeps the other tokens unchanged; without it, fine-tuning has a worse start.
OTHER_TOKENS_WEIGHT = 1.0


def num_distillation_batches(num_texts: int, batch_size: int) -> int:
    """Number of batches that [`distill_mean`] needs for a training set of this size."""
    return -(-min(MAX_TEXTS, MAX_PASSES * num_texts) // batch_size)


def distill_mean(
    model: LCLForSequenceClassification,
    batches: Iterable[dict[str, Tensor]],
    num_batches: int,
    *,
    average: Callable[[Tensor], Tensor] = lambda gradient: gradient,
    description: str = "mean into first token",
) -> None:
    """
    Trains the encoder, without labels, so that its first token approximates the former mean of its tokens.

    sentence-transformers trains most of its encoders with mean pooling, while a BERT-like classifier reads only the
    first token, whose embedding hardly separates texts. The teacher is a frozen copy of the encoder; the other tokens
    are trained to stay equal to the teacher's.

    Args:
        model ([`LCLForSequenceClassification`]): the wrapper of a classifier that reads the first token.
        batches (`Iterable[dict[str, torch.Tensor]]`): tokenised texts on the model's device.
        num_batches (`int`): number of batches to read.
        average (`Callable`, *optional*): the mean of a gradient over all processes.
        description (`str`, *optional*): of the progress bar.

    Frozen parameters are not changed. If the training is interrupted, all parameters are restored.

    Raises:
        UnsupportedModelError: if all parameters that the encoder's output depends on are frozen.
    """
    student = model.native.base_model
    teacher = _Teacher(student)
    was_training = student.training
    student.train()
    learned = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, int(WARMUP_RATIO * num_batches), num_batches)
    try:
        for batch in tqdm(islice(batches, num_batches), description, num_batches, leave=False):
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            target = teacher(inputs)
            mask = token_mask(target, inputs.get("attention_mask"))
            target[:, 0] = pool(target, mask, "mean")
            distances = _distances(student(**inputs).last_hidden_state.float(), target)
            if not distances.requires_grad:
                raise UnsupportedModelError(
                    "There is nothing to teach: all that the encoder's output depends on is frozen."
                )
            others = mask[:, 1:]
            of_others = (distances[:, 1:] * others).sum(dim=1) / others.sum(dim=1).clamp(min=1)
            loss = (distances[:, 0] + OTHER_TOKENS_WEIGHT * of_others).mean()
            loss.backward()
            for parameter in learned:
                if parameter.grad is not None:  # `None` for an unused pooler
                    parameter.grad = average(parameter.grad)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    except BaseException:  # Ctrl-C and running out of memory too: restore the encoder for another attempt
        student.load_state_dict(teacher.encoder.state_dict())
        raise
    finally:
        optimizer.zero_grad()
        student.train(was_training)


class _Teacher:
    """The original encoder, with a cache for the outputs of up to `KEPT_TEXTS` texts."""

    def __init__(self, encoder: nn.Module):
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self._kept: dict[bytes, Tensor] = {}

    @torch.no_grad()
    def __call__(self, inputs: dict[str, Tensor]) -> Tensor:
        """The encoder's output for each token, `(texts, tokens, hidden)` in fp32; arbitrary for padding."""
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if ids is None or mask is None:
            return self.encoder(**inputs).last_hidden_state.float()
        is_token = mask.bool()
        keys = [row[tokens].cpu().numpy().tobytes() for row, tokens in zip(ids, is_token)]
        new = [row for row, key in enumerate(keys) if key not in self._kept]
        read = self.encoder(**{name: tensor[new] for name, tensor in inputs.items()}) if new else None
        states = {} if read is None else dict(zip(new, read.last_hidden_state.float()))
        width = next(iter([*states.values(), *self._kept.values()])).shape[-1]
        target = torch.zeros(*mask.shape, width, device=mask.device)
        for row, (key, tokens) in enumerate(zip(keys, is_token)):
            found = states[row][tokens] if row in states else self._kept[key].to(mask.device)
            target[row, tokens] = found
            if row in states and len(self._kept) < KEPT_TEXTS:
                self._kept[key] = found.cpu()
        return target


def _distances(states: Tensor, target: Tensor) -> Tensor:
    """The distance of each token from its target: squared error plus cosine distance."""
    squares = functional.mse_loss(states, target, reduction="none").mean(dim=-1)
    return squares + 1 - functional.cosine_similarity(states, target, dim=-1)
