"""What the sampler is told during training: which epoch it is, and which classes the model takes for one another."""

import base64
from typing import Any

import numpy as np
import torch
from accelerate.utils import reduce
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from .sampler import LabelBalancedSampler


class SamplerEpochCallback(TrainerCallback):
    """
    Tells the [`LabelBalancedSampler`] of the training data, before each epoch, which epoch it is.

    The Trainer does so itself, except where several processes resume in the middle of an epoch: these would go on with
    the order of another epoch, so that some texts of this one were seen twice and others never.
    """

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader,
        **kwargs: Any,
    ) -> None:
        """Sets the epoch of the sampler."""
        sampler = _balanced_sampler(train_dataloader)
        if sampler is not None:
            sampler.set_epoch(int(state.epoch))


class ConfusableClassesCallback(TrainerCallback, ExportableState):
    r"""
    Tells the [`LabelBalancedSampler`] of the training data, before each epoch but the first, which classes the model
    took for one another in the epoch before.

    [`~ConfusableClassesCallback.observe`] adds up the probabilities that the texts of a class get. Two classes are as
    close as the mean share of the one among the texts of the other. What was added up and what the sampler was told
    are kept in `trainer_state.json`, so that a resumed run draws the batches that it would have drawn.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl.data.sampler_callbacks import ConfusableClassesCallback

    >>> callback = ConfusableClassesCallback()
    >>> callback.observe(torch.tensor([0, 0, 1]), torch.tensor([[1.0, 1.0], [-99.0, 0.0], [0.0, 0.0]]))
    >>> callback.confusion.tolist()
    [[0.5, 1.5], [0.5, 0.5]]
    ```
    """

    def __init__(self) -> None:
        self.confusion: Tensor | None = None  # of this epoch so far
        self.similarity: np.ndarray | None = None  # of the epoch before

    def observe(self, labels: Tensor, logits: Tensor) -> None:
        """
        Adds the texts of a batch.

        Args:
            labels (`torch.LongTensor` of shape `(batch,)`): class of each text.
            logits (`torch.Tensor` of shape `(batch, num_labels)`): of the classifier, or of the weighting network.
        """
        probabilities = logits.detach().float().softmax(dim=-1)
        if self.confusion is None:
            self.confusion = probabilities.new_zeros(logits.shape[1], logits.shape[1])
        self.confusion = self.confusion.to(logits.device).index_add(0, labels, probabilities)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begins with nothing, or with what the checkpoint holds."""
        self.confusion, self.similarity = None, None
        if state.global_step > 0 and type(self).__name__ in state.stateful_callbacks:
            saved = state.stateful_callbacks[type(self).__name__]["attributes"]["saved"]
            confusion, self.similarity = map(_decoded, saved)
            self.confusion = None if confusion is None else torch.from_numpy(confusion)

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader,
        **kwargs: Any,
    ) -> None:
        """Tells the sampler how close the classes are."""
        if self.confusion is not None and state.epoch == int(state.epoch):  # an epoch ends here, on all processes
            confusion = reduce(self.confusion, "sum").cpu().numpy()
            shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1e-9)
            self.similarity = (shares + shares.T) / 2
            self.confusion = None
        sampler = _balanced_sampler(train_dataloader)
        if sampler is not None and self.similarity is not None:
            sampler.set_similarity(self.similarity)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before a checkpoint, which the first process writes: shares what each process has seen."""
        if control.should_save and self.confusion is not None:
            self.confusion = reduce(self.confusion, "mean")

    on_epoch_end = on_step_end

    def state(self) -> dict[str, Any]:
        """What `trainer_state.json` keeps."""
        confusion = None if self.confusion is None else self.confusion.cpu().numpy()
        return {"args": {}, "attributes": {"saved": [_encoded(confusion), _encoded(self.similarity)]}}


def _balanced_sampler(dataloader: DataLoader) -> LabelBalancedSampler | None:
    """The sampler below the batch samplers of accelerate, unless the batches are drawn in another way."""
    level = dataloader
    while hasattr(level, "batch_sampler"):
        level = level.batch_sampler
    return level.sampler if isinstance(level.sampler, LabelBalancedSampler) else None


def _encoded(matrix: np.ndarray | None) -> str | None:
    """A square matrix as one short string: as a list it would take a line per number."""
    return None if matrix is None else base64.b64encode(matrix.astype(np.float32).tobytes()).decode()


def _decoded(text: str | None) -> np.ndarray | None:
    if text is None:
        return None
    numbers = np.frombuffer(bytearray(base64.b64decode(text)), dtype=np.float32)
    return numbers.reshape(int(len(numbers) ** 0.5), -1)
