"""Batches in which anchors find positives: several classes, several texts of each."""

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


WINDOW_BATCHES = 3  # groups to choose from, in batches: more mix classes better, but lengths in a batch differ more
# The texts of a class are sorted by length, then each is moved at random by up to this share of them, or this many
# texts if that is more. This costs some padding, but makes the groups differ from epoch to epoch.
JITTER_SHARE = 0.01
JITTER_TEXTS = 2


class Group(NamedTuple):
    """Texts of one class: a slice of an order of texts."""

    label: int
    start: int
    stop: int


class LabelBalancedSampler(Sampler[int]):
    r"""
    Orders the texts of an epoch so that every run of `batch_size` of them holds several classes, as many as fit, with
    about `samples_per_class` texts each. Each text is seen once per epoch.

    The texts of a class are divided into groups, and a batch is filled with whole groups of different classes, so that
    a class with a tenth of the texts fills a tenth of the batch. A text has no positive in its batch only where the
    sizes of the classes leave no other way: a few texts at the end of an epoch. Classes with one text come last.

    The order depends only on `seed` and the epoch. It is the same on all processes, and accelerate gives each of them
    whole batches.

    Args:
        labels (`Sequence[int]` of shape `(rows,)`): class of each text of the data set.
        batch_size (`int`): texts per batch and process.
        samples_per_class (`int`, *optional*, defaults to 2): texts of one class in a batch, at least 2. A batch holds
            more texts of a frequent class, or if a single text would be left over, and fewer (2 or more) of a class
            with fewer texts.
        lengths (`Sequence[int]` of shape `(rows,)`, *optional*): number of tokens of each text. If given, texts of
            similar length share a batch, which reduces padding.
        drop_last (`bool`, *optional*, defaults to `False`): whether to drop the texts that do not fill a batch:
            classes with one text first, then, with `lengths`, the longest or the shortest texts, at random per epoch.
        seed (`int`, *optional*, defaults to 0): seed of the order.

    Raises:
        ValueError: if no class has two texts, or `batch_size`, `samples_per_class` or `lengths` do not fit the labels.

    Example:

    ```python
    >>> from hf_lcl import LabelBalancedSampler

    >>> labels = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    >>> order = list(LabelBalancedSampler(labels, batch_size=4))
    >>> sorted(order) == list(range(12))
    True
    >>> [[labels[i] for i in order[start : start + 4]] for start in (0, 4, 8)]
    [[0, 0, 2, 2], [1, 1, 2, 2], [1, 1, 0, 0]]
    ```
    """

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray,
        batch_size: int,
        *,
        samples_per_class: int = 2,
        lengths: Sequence[int] | np.ndarray | None = None,
        drop_last: bool = False,
        seed: int = 0,
    ):
        # From here on, the classes that occur are numbered from 0.
        _, self._labels, self._texts = np.unique(labels, return_inverse=True, return_counts=True)
        check_batch_size(batch_size, samples_per_class)
        if self._texts.max() < 2:
            raise ValueError(
                f"Each of the {len(self._texts)} classes has one text only, so that no text has a positive and a "
                "contrastive objective learns nothing: add texts, give each a second view (num_views=2, "
                'sampler="auto"), or use objective="ce".'
            )
        if samples_per_class > self._texts.max():
            raise ValueError(
                f"samples_per_class={samples_per_class}, but the most frequent class has {self._texts.max()} texts: "
                f"use at most {self._texts.max()}."
            )
        if lengths is not None and np.shape(lengths) != self._labels.shape:
            raise ValueError(
                f"lengths has shape {np.shape(lengths)} for {len(self._labels)} texts: give one per text."
            )
        self.batch_size = batch_size
        self.samples_per_class = samples_per_class
        self.lengths = None if lengths is None else np.array(lengths)  # a copy: the caller may go on to change it
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        rows = len(self._labels)
        return rows - rows % self.batch_size if self.drop_last else rows

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which determines the next order. May be called several times."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = self._order_in_classes(rng)
        batches = list(fill_batches(self._groups(order, rng), self.batch_size))
        if self.lengths is not None:
            batches = [*(batches[index] for index in rng.permutation(len(batches) - 1)), batches[-1]]
        places = [place for batch in batches for group in batch for place in range(group.start, group.stop)]
        singles = np.flatnonzero(self._texts[self._labels] == 1)
        return iter([*order[places].tolist(), *rng.permutation(singles).tolist()][: len(self)])

    def _order_in_classes(self, rng: np.random.Generator) -> np.ndarray:
        """All texts, class after class; those of a class in random order, or approximately by length."""
        keys = rng.random(len(self._labels))
        if self.lengths is not None:
            keys[np.lexsort((keys, self.lengths, self._labels))] = np.arange(len(keys))
            jitter = np.maximum(JITTER_SHARE * self._texts, JITTER_TEXTS)[self._labels]
            keys += rng.uniform(-jitter, jitter)
        return np.lexsort((keys, self._labels))

    def _groups(self, order: np.ndarray, rng: np.random.Generator) -> list[Group]:
        """All texts but single ones in groups of one class, in the order in which batches should take them."""
        per_batch, direction = self.batch_size // self.samples_per_class, rng.choice([-1, 1])
        groups, keys = list[Group](), []
        for label, (texts, end) in enumerate(zip(self._texts, np.cumsum(self._texts))):
            # As many groups as are needed for `per_batch` of them to fill a batch, and none of a single text.
            count = int(np.clip(np.rint(texts * per_batch / self.batch_size), texts > 1, texts // 2))
            if count == 0:
                continue
            smaller, larger = divmod(texts, count)
            sizes = rng.permutation(smaller + (np.arange(count) < larger))
            starts = end - texts + np.cumsum(sizes) - sizes
            if self.lengths is None:
                # The k-th of n groups of a class gets a random place in the k-th of n equal parts of the epoch.
                keys.append((np.arange(count) + rng.random(count)) / count)
            else:
                # From short to long or back, at random: the last batch does not always get the longest texts.
                longest = np.maximum.reduceat(self.lengths[order[:end]], starts)
                keys.append(direction * (longest + rng.random(count)))
            groups += [Group(label, *bounds) for bounds in np.stack([starts, starts + sizes], axis=1).tolist()]
        return [groups[place] for place in np.argsort(np.concatenate(keys))]


def fill_batches(groups: list[Group], batch_size: int) -> Iterator[list[Group]]:
    """
    Batches of `batch_size` texts (the last may be smaller), of whole groups as far as possible in their order.

    Groups of classes that are below their share of the batch come first. A group is postponed if the later groups can
    fill the batch without it and its class has its share (rounded up), or if they cannot fill the batch exactly with
    it. If no choice of groups fills a batch exactly, one group is split.
    """
    batches = math.ceil(sum(group.stop - group.start for group in groups) / batch_size)
    share = {label: count / batches for label, count in Counter(group.label for group in groups).items()}
    most = max(math.ceil(len(groups) / batches) - 1, 1)  # leaves room for a second class
    places = (1 << batch_size + 1) - 1
    coming, window = deque(groups), list[Group]()
    while coming or window:
        while coming and len(window) < WINDOW_BATCHES * len(groups) / batches:
            window.append(coming.popleft())
        due, others, seen = list[Group](), list[Group](), Counter[int]()
        for group in window:
            seen[group.label] += 1
            (due if seen[group.label] <= share[group.label] else others).append(group)
        window = due + others
        # Bit n of sums[i]: whether some of the groups from the i-th on add up to n texts (subset sum).
        sums = [1]
        for group in reversed(window):
            sums.append((sums[-1] | sums[-1] << group.stop - group.start) & places)
        sums.reverse()
        fits = sums[0] >> batch_size & 1
        batch, passed_over, room, taken = list[Group](), list[Group](), batch_size, Counter[int]()
        for group, after in zip(window, sums[1:]):
            size = group.stop - group.start
            if fits:
                needed = not after >> room & 1
                wanted = taken[group.label] < min(share[group.label], most)
                size = size if size <= room and after >> room - size & 1 and (wanted or needed) else 0
            size = min(size, room)
            if size:
                batch.append(Group(group.label, group.start, group.start + size))
            if group.start + size < group.stop:
                passed_over.append(Group(group.label, group.start + size, group.stop))
            room -= size
            taken[group.label] += size > 0
        window = passed_over
        yield batch


class SamplerEpochCallback(TrainerCallback):
    """
    Sets the epoch of the training data's [`LabelBalancedSampler`] before each epoch.

    The Trainer does so too, except if several processes resume in the middle of an epoch. They would continue with the
    order of another epoch, and see some texts twice and others never.
    """

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Sets the epoch of the sampler, which lies below the batch samplers of accelerate."""
        level = kwargs["train_dataloader"]
        while hasattr(level, "batch_sampler"):
            level = level.batch_sampler
        if isinstance(getattr(level, "sampler", None), LabelBalancedSampler):  # a batch sampler of a user has none
            level.sampler.set_epoch(int(state.epoch or 0))


def check_batch_size(batch_size: int, samples_per_class: int) -> None:
    """Raises a `ValueError` if a batch cannot hold two classes, or `samples_per_class` is below 2."""
    if samples_per_class < 2:
        raise ValueError(f"samples_per_class={samples_per_class} leaves anchors without positives: use >= 2.")
    if batch_size < 2 * samples_per_class:
        raise ValueError(
            f"batch_size={batch_size} cannot hold two classes with {samples_per_class} texts each: use at least "
            f"{2 * samples_per_class}."
        )
