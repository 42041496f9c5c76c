"""Batches in which anchors find positives: several classes, several texts of each."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from .packing import Packer, mend


# The order by length: an epoch is cut into so many bands of lengths, each of some batches, so that all classes fit ...
BANDS = 16
FEWEST_BATCHES = 16
# ... and a text stands within this share of its class, or so many texts, of its place. The padding that this costs
# buys batches that differ from epoch to epoch.
REACH = 0.02
FEWEST_TEXTS = 2


class LabelBalancedSampler(Sampler[int]):
    r"""
    Orders the texts of an epoch so that every run of `batch_size` of them holds several classes with about
    `samples_per_class` texts each, as many classes as fit, and none with a text alone. Each text is seen once per
    epoch, unless `oversample` says otherwise.

    A class with a tenth of the texts fills a tenth of the places, early and late. Classes with one text only cannot
    give positives; they come last. Texts of a class stand next to each other in a batch, so that most keep a positive
    where the batch is cut or padded with texts of another.

    The order depends on `seed` and the epoch alone. It is the same on all processes, and accelerate
    hands whole batches to each of them.

    Args:
        labels (`Sequence[int]` of shape `(rows,)`): class of each text of the data set.
        batch_size (`int`): texts per batch and process.
        samples_per_class (`int`, *optional*, defaults to 2): texts of one class in a batch, at least 2. A batch holds
            more of a class where it is frequent, or where one text of it would be left alone, and fewer, but 2 or
            more, where that fills it.
        classes_per_batch (`int`, *optional*): classes in a batch, with `batch_size // classes_per_batch` texts each,
            as far as they have so many. By default as many classes as fit.
        oversample (`bool`, *optional*, defaults to `False`): whether every class is drawn as often as the most
            frequent one: its texts are repeated, in turn, up to that number. An epoch then has as many texts as the
            most frequent class times the number of classes. A class of one text is its own positive.
        lengths (`Sequence[int]` of shape `(rows,)`, *optional*): tokens of each text. If given, texts of like length
            share a batch, so that there is little padding.
        drop_last (`bool`, *optional*, defaults to `False`): whether to leave out the texts that do not fill a batch:
            classes with one text first, and by `lengths` the longest or the shortest, epoch by epoch.
        seed (`int`, *optional*, defaults to 0): of the order.

    Raises:
        ValueError: if no class has two texts, or what is asked for cannot be had from the data or fit the batch.

    Example:

    ```python
    >>> from hf_lcl import LabelBalancedSampler

    >>> labels = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    >>> order = list(LabelBalancedSampler(labels, batch_size=4))
    >>> sorted(order) == list(range(12))
    True
    >>> [[labels[i] for i in order[start : start + 4]] for start in (0, 4, 8)]
    [[1, 1, 0, 0], [2, 2, 0, 0], [1, 1, 2, 2]]
    ```
    """

    def __init__(
        self,
        labels: Sequence[int],
        batch_size: int,
        *,
        samples_per_class: int = 2,
        classes_per_batch: int | None = None,
        oversample: bool = False,
        lengths: Sequence[int] | None = None,
        drop_last: bool = False,
        seed: int = 0,
    ):
        # Here and below, a class is its place among those that occur.
        _, self._labels, self._texts = np.unique(labels, return_inverse=True, return_counts=True)
        _check(self._texts, batch_size, samples_per_class, classes_per_batch)
        if lengths is not None and np.shape(lengths) != self._labels.shape:
            raise ValueError(
                f"lengths has shape {np.shape(lengths)} for {len(self._labels)} texts: give one per text."
            )
        self._draws = np.full_like(self._texts, self._texts.max()) if oversample else self._texts
        self.batch_size = batch_size
        self._portion = samples_per_class if classes_per_batch is None else batch_size // classes_per_batch
        self._most_classes = classes_per_batch or batch_size
        self.oversample = oversample
        self.lengths = None if lengths is None else np.asarray(lengths)
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        rows = int(self._draws.sum())
        return rows - rows % self.batch_size if self.drop_last else rows

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next. May be called several times."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        # From short to long or back, so that the texts left for the last batch are not always the longest.
        lengths = None if self.lengths is None else self.lengths * rng.choice([-1, 1])
        queue = self._queue(lengths, rng)
        line = self._line(queue, lengths, rng).tolist()
        pairs_possible = np.where(self._draws > 1, self._draws, 0).tolist()
        batches = list(Packer(line, pairs_possible, self.batch_size, self._portion, self._most_classes))
        mend(batches, rng)

        lonely = rng.permutation(np.flatnonzero(self._draws == 1))
        labels = np.repeat(
            [label for batch in batches for label in batch] + lonely.tolist(),
            [texts for batch in batches for texts in batch.values()] + [1] * len(lonely),
        )
        order = np.empty_like(queue)
        order[np.argsort(labels, kind="stable")] = queue  # the n-th place of a class gets the n-th text of its queue
        if lengths is not None:
            whole = (len(batches) - 1) * self.batch_size
            order[:whole] = rng.permutation(order[:whole].reshape(-1, self.batch_size)).ravel()
        return iter(order[: len(self)].tolist())

    def _queue(self, lengths: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
        """All texts, class after class, those of a class in the order in which they will be drawn."""
        keys = rng.random(len(self._labels))
        if lengths is not None:
            keys[np.lexsort((keys, lengths, self._labels))] = np.arange(len(keys))
            reach = np.maximum(REACH * self._texts, FEWEST_TEXTS)[self._labels]
            keys += rng.uniform(-reach, reach)
        queue = np.lexsort((keys, self._labels))
        return self._repeat(queue) if self.oversample else queue

    def _repeat(self, queue: np.ndarray) -> np.ndarray:
        """
        The queues of all classes at the length of the longest, their texts in turn: all of a class, or a few of like
        length, again and again.
        """
        texts = self._texts[:, None]
        cycle, text = np.divmod(np.arange(texts.max()), texts)
        blocks = 1 if self.lengths is None else np.maximum(texts // (4 * self._portion), 1)
        order = np.lexsort((text, cycle, text * blocks // texts))
        starts = np.cumsum(texts)[:, None] - texts
        return queue[starts + np.take_along_axis(text, order, axis=1)].ravel()

    def _line(self, queue: np.ndarray, lengths: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
        """The classes in the order of their turns: evenly spread over the epoch, or over each band of lengths."""
        turns = (self._draws + self._portion - 2) // self._portion
        labels = np.repeat(np.arange(len(turns)), turns)
        band = np.zeros_like(labels)
        if lengths is not None:
            bands = np.clip(len(queue) // (FEWEST_BATCHES * self.batch_size), 1, BANDS)
            first = queue[np.repeat(np.cumsum(self._draws) - self._draws, turns) + _count_up(turns) * self._portion]
            by_length = np.lexsort((rng.random(len(first)), lengths[first]))
            band[by_length] = np.arange(len(band)) * bands // len(band)
        # The k-th of n turns of a class comes at a random place in the k-th n-th part of the band.
        group, sizes = np.unique(band * len(turns) + labels, return_inverse=True, return_counts=True)[1:]
        place = rng.random(len(labels))
        place[np.argsort(group, kind="stable")] += _count_up(sizes)
        return labels[np.lexsort((place / sizes[group], band))]


def _count_up(sizes: np.ndarray) -> np.ndarray:
    """0, 1, ... up to each size, one run after another."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _check(texts: np.ndarray, batch_size: int, samples_per_class: int, classes_per_batch: int | None) -> None:
    """Whether classes with so many `texts` fill the batches that are asked for."""
    if samples_per_class < 2:
        raise ValueError(f"samples_per_class={samples_per_class} leaves anchors without positives: use >= 2.")
    if batch_size < 2 * samples_per_class:
        raise ValueError(
            f"batch_size={batch_size} cannot hold two classes with {samples_per_class} texts each: use at least "
            f"{2 * samples_per_class}."
        )
    if texts.max() < 2:
        raise ValueError(
            f"Each of the {len(texts)} classes has one text only, so that no text has a positive and a contrastive "
            'objective learns nothing: add texts, give each a second view (num_views=2, sampler="auto"), or use '
            'objective="ce".'
        )
    if samples_per_class > texts.max():
        raise ValueError(
            f"samples_per_class={samples_per_class}, but the most frequent class has {texts.max()} texts: use at most "
            f"{texts.max()}."
        )
    if classes_per_batch is None:
        return
    usable = int((texts > 1).sum())
    if not 2 <= classes_per_batch <= usable:
        raise ValueError(
            f"classes_per_batch={classes_per_batch} must lie between 2 and the number of classes with two texts or "
            f"more, {usable}."
        )
    if classes_per_batch * samples_per_class > texts.sum():
        raise ValueError(
            f"{classes_per_batch} classes with {samples_per_class} texts each are more than the {texts.sum()} texts "
            "there are: use a smaller classes_per_batch or samples_per_class."
        )
    if classes_per_batch * samples_per_class > batch_size:
        raise ValueError(
            f"{classes_per_batch} classes with {samples_per_class} texts each do not fit batch_size={batch_size}: use "
            f"classes_per_batch={batch_size // samples_per_class}, or a batch of "
            f"{classes_per_batch * samples_per_class}."
        )
