"""Embeddings of past batches, which anchors are compared with beside those of their own batch."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback


FILE_NAME = "contrastive_queue.safetensors"


class EmbeddingQueue:
    """
    The last `size` embeddings and their classes; the oldest leave first.

    Without gradients, and as old as `size / batch` steps: the slower the encoder changes, the longer they are of use.

    Paper: [Cross-Batch Memory for Embedding Learning](https://huggingface.co/papers/1912.06798).

    Args:
        size (`int`): how many embeddings it holds at most.

    Example:

    ```python
    >>> import torch
    >>> from hf_lcl.scaling import EmbeddingQueue

    >>> queue = EmbeddingQueue(size=3)
    >>> queue.add(torch.eye(2), torch.tensor([0, 1]))
    >>> queue.add(torch.eye(2), torch.tensor([2, 3]))
    >>> queue.labels
    tensor([1, 2, 3])
    ```
    """

    def __init__(self, size: int):
        self.size = size
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self.embeddings: Tensor | None = None
        self.labels: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.labels is None else len(self.labels)

    def add(self, embeddings: Tensor, labels: Tensor) -> None:
        """
        Appends a batch, and drops the oldest embeddings where they are too many.

        Args:
            embeddings (`torch.Tensor` of shape `(batch, hidden)`): kept without their graph.
            labels (`torch.LongTensor` of shape `(batch,)`): their classes.
        """
        embeddings = embeddings.detach()
        if self.labels is not None:
            embeddings, labels = torch.cat([self.embeddings, embeddings]), torch.cat([self.labels, labels])
        # Clones, or a slice would keep what was dropped in memory.
        self.embeddings, self.labels = embeddings[-self.size :].clone(), labels[-self.size :].clone()

    def save(self, directory: str | Path) -> None:
        """Writes the queue into a checkpoint."""
        if self.labels is not None:
            save_file({"embeddings": self.embeddings, "labels": self.labels}, str(Path(directory) / FILE_NAME))

    def load(self, directory: str | Path, device: torch.device) -> None:
        """
        Takes up the queue of a checkpoint; one that holds none leaves the queue empty.

        Args:
            directory (`str` or `Path`): the checkpoint.
            device (`torch.device`): where the embeddings go.
        """
        self.reset()
        path = Path(directory) / FILE_NAME
        if path.exists():
            tensors = load_file(str(path))
            self.embeddings = tensors["embeddings"][-self.size :].to(device)
            self.labels = tensors["labels"][-self.size :].to(device)


class FreshQueue(TrainerCallback):
    """Empties the queue where a training begins, so that none starts with the embeddings of another."""

    def __init__(self, queue: EmbeddingQueue):
        self.queue = queue

    def on_train_begin(self, *args, **kwargs) -> None:
        self.queue.reset()
