"""Class-balanced batches from a stream, whose labels are known only once they are read."""

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from itertools import count, islice
from typing import Any

import datasets
import numpy as np
from torch.utils.data import IterableDataset
from transformers.utils import logging

from .labels import check_labels, class_ids
from .lengths import token_counts
from .sampler import LabelBalancedSampler, check_batch_size
from .several_labels import rarest_labels


# The default buffer size: this many rows, or this many batches if they are more.
BUFFER_SIZE = 4096
FEWEST_BATCHES = 4

logger = logging.get_logger(__name__)


@dataclass(eq=False)
class BalancedStream(IterableDataset):
    """
    Orders a stream so that every run of `batch_size` rows holds several classes with about `samples_per_class` rows
    each. [`ContrastiveTrainer`] does so for every streamed training set; use this to choose the buffer size.

    A buffer of rows is ordered by a [`LabelBalancedSampler`]; its first half is yielded, the buffer is filled up
    again, and so on. A row that is the only one of its class waits in the other half for a second one. Every row is
    yielded once per pass over the stream.

    Args:
        dataset (`Iterable[dict]`): tokenised rows with `labels`, such as a `datasets.IterableDataset`. If it has a
            method `set_epoch`, this is called before each pass.
        batch_size (`int`): rows per batch and process.
        samples_per_class (`int`, *optional*, defaults to 2): as in [`LabelBalancedSampler`].
        buffer_size (`int`, *optional*): rows that are held at a time, at least two batches. A larger buffer mixes rows
            better, and more rows of rare classes find a positive. Defaults to 4,096 rows or four batches, whichever is
            more.
        seed (`int`, *optional*, defaults to 0): seed of the order.
        group_lengths (`bool`, *optional*, defaults to `False`): whether to batch texts of similar length, as far as
            the buffer has them.
        endless (`bool`, *optional*, defaults to `False`): whether to repeat the stream without end. The rows that do
            not fill the last batch of a pass then go into the first batches of the next.
        num_labels (`int`, *optional*): number of classes of the model; class ids beyond it raise an error.

    Raises:
        ValueError: if the buffer cannot hold two batches, or a batch cannot hold two classes; while the stream is
            read, if labels are not class ids of the model.

    Example:

    ```python
    >>> from hf_lcl.data import balance_stream

    >>> rows = [{"text": f"text {row}", "labels": row // 2 % 3} for row in range(12)]
    >>> stream = balance_stream(rows, batch_size=4, buffer_size=12)
    >>> [row["labels"] for row in stream]
    [1, 1, 0, 0, 2, 2, 1, 1, 2, 2, 0, 0]
    ```
    """

    dataset: Iterable[dict[str, Any]]
    batch_size: int
    samples_per_class: int = 2
    buffer_size: int | None = None
    seed: int = 0
    _: KW_ONLY
    group_lengths: bool = False
    endless: bool = False
    num_labels: int | None = None
    epoch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size, self.samples_per_class)
        self.size = self.buffer_size or max(BUFFER_SIZE, FEWEST_BATCHES * self.batch_size)
        if self.size < 2 * self.batch_size:
            raise ValueError(
                f"buffer_size={self.size} is less than two batches of {self.batch_size}: use at least "
                f"{2 * self.batch_size}, better many more."
            )

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which determines the order of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        waiting: list[dict[str, Any]] = []
        for epoch in count(self.epoch):
            rng = np.random.default_rng((self.seed, epoch))
            rows, read, ended = iter(_at_epoch(self.dataset, epoch)), 0, False
            while not ended:
                buffer = [*waiting, *islice(rows, self.size - len(waiting))]
                read += len(buffer) - len(waiting)
                ended = len(buffer) < self.size
                order = self._order(buffer, rng)
                go_out = len(buffer) if ended else self.size // 2
                if not ended or (self.endless and read):
                    go_out -= go_out % self.batch_size
                yield from (buffer[row] for row in order[:go_out])
                waiting = [buffer[row] for row in order[go_out:]]
            if not self.endless or not read:
                return

    def _order(self, buffer: list[dict[str, Any]], rng: np.random.Generator) -> list[int]:
        """The indices of the rows in the buffer, batch after batch."""
        if not buffer:
            return []
        labels = class_ids(buffer)
        if self.num_labels is not None:
            check_labels(labels, self.num_labels, "The stream")
        labels = rarest_labels(labels)
        classes, texts = np.unique(labels, return_counts=True)
        if len(classes) == 1 and len(buffer) > self.batch_size:
            logger.warning_once(
                f"The buffer of the stream (buffer_size={self.size}) holds one class only, as with a file that "
                "is sorted by class: its batches have no negatives. Shuffle the file, or pass "
                "train_dataset=balance_stream(..., buffer_size=...) with a larger buffer."
            )
        if len(classes) == 1 or texts.max() < 2:
            return rng.permutation(len(buffer)).tolist()
        sampler = LabelBalancedSampler(
            labels,
            self.batch_size,
            samples_per_class=min(self.samples_per_class, int(texts.max())),
            lengths=token_counts(buffer) if self.group_lengths else None,
            seed=int(rng.integers(2**32)),
        )
        return list(sampler)


def _at_epoch(dataset: Iterable[dict[str, Any]], epoch: int) -> Iterable[dict[str, Any]]:
    """The same rows, in the order of the epoch if the data set has `set_epoch`."""
    if isinstance(dataset, datasets.IterableDataset):
        # `set_epoch` adds to a counter that worker processes share in memory: two calls at once would add twice.
        # `repeat(1)` has the same rows and a counter of its own.
        dataset = dataset.repeat(1)
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)
    return dataset


balance_stream = BalancedStream  # used like a function that returns a stream
