"""Batches in which anchors find positives: several classes, several texts of each."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class LabelBalancedSampler(Sampler[int]):
    r"""
    Orders the texts of an epoch so that every run of `batch_size` of them holds several classes with about
    `samples_per_class` texts each, as many classes as fit, and none with a text alone. Each text is seen once per
    epoch.

    Every batch is a systematic sample of the texts that are left: a class with a tenth of them fills a tenth of the
    batch, so that frequent and rare classes run out together and late batches look like early ones. Classes with one
    text only cannot give positives; they come last.

    The order depends on `seed` and the epoch alone. It is the same on all processes, and accelerate hands whole
    batches to each of them.

    Args:
        labels (`Sequence[int]`): class of each text of the data set.
        batch_size (`int`): texts per batch and process.
        samples_per_class (`int`, *optional*, defaults to 2): texts of one class in a batch, at least 2. A batch holds
            more of a class where it is frequent, or where one text of it would be left alone, and fewer, but 2 or
            more, where that fills it.
        seed (`int`, *optional*, defaults to 0): of the order.

    Raises:
        ValueError: if `samples_per_class < 2`, or no batch can hold two texts of a class.

    Example:

    ```python
    >>> from hf_lcl import LabelBalancedSampler

    >>> labels = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    >>> order = list(LabelBalancedSampler(labels, batch_size=4))
    >>> sorted(order) == list(range(12))
    True
    >>> [sorted(labels[i] for i in order[start : start + 4]) for start in (0, 4, 8)]
    [[0, 0, 1, 1], [1, 1, 2, 2], [0, 0, 2, 2]]
    ```
    """

    def __init__(self, labels: Sequence[int], batch_size: int, *, samples_per_class: int = 2, seed: int = 0):
        if samples_per_class < 2:
            raise ValueError(f"samples_per_class={samples_per_class} leaves anchors without positives: use >= 2.")
        if batch_size < 2 * samples_per_class:
            raise ValueError(
                f"batch_size={batch_size} cannot hold two classes with {samples_per_class} texts each: use at least "
                f"{2 * samples_per_class}."
            )
        self.labels = np.asarray(labels)
        self.batch_size = batch_size
        self.samples_per_class = samples_per_class
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.labels)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next. May be called several times."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        queues = [rng.permutation(np.flatnonzero(self.labels == label)) for label in np.unique(self.labels)]
        pairs_possible = [queue for queue in queues if len(queue) > 1]
        for takes in self._trade(list(self._plan(np.array([len(queue) for queue in pairs_possible]), rng)), rng):
            batch = []
            for index in np.flatnonzero(takes):
                batch.append(pairs_possible[index][: takes[index]])
                pairs_possible[index] = pairs_possible[index][takes[index] :]
            yield from rng.permutation(np.concatenate(batch)).tolist()
        lonely = [queue for queue in queues if len(queue) == 1]
        if lonely:
            yield from rng.permutation(np.concatenate(lonely)).tolist()

    def _plan(self, left: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """For each batch, how many texts of each class it takes, given how many of each are `left`."""
        left = left.copy()
        while (total := left.sum()) > 0:
            size = min(self.batch_size, total)
            takes = left.copy() if size == total else self._fit(self._draw(left, size, rng), left, size, rng)
            left -= takes
            yield takes

    def _trade(self, plan: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        """
        Trades texts of two classes between two batches until no batch, but for the last, holds a text alone or one
        class only. Of a few random trades the best is made, if it does no more harm than it mends; where the classes
        do not allow a remedy, it stops after some rounds.
        """
        if len(plan) < 2:
            return plan
        plan, last, choices = np.stack(plan), len(plan) - 1, 256
        harm = _harm(plan)
        harm[last] = 0  # the last batch takes what is left
        for _ in range(200):
            if not harm.any():
                break
            batch = rng.choice(np.flatnonzero(harm))
            partner = rng.integers(len(plan), size=choices)
            given = rng.choice(np.flatnonzero(plan[batch]), size=choices)
            taken = (rng.random((choices, plan.shape[1])) * (plan[partner] > 0)).argmax(axis=1)
            amount = rng.integers(1, 3, size=choices)
            change = np.zeros((choices, plan.shape[1]), dtype=plan.dtype)
            change[np.arange(choices), given] -= amount
            change[np.arange(choices), taken] += amount
            mine, theirs = plan[batch] + change, plan[partner] - change
            new_harm = _harm(mine) + np.where(partner == last, 0, _harm(theirs)) - harm[batch] - harm[partner]
            possible = (mine >= 0).all(axis=1) & (theirs >= 0).all(axis=1) & (partner != batch) & (given != taken)
            best = np.where(possible, new_harm, 1).argmin()
            if possible[best] and new_harm[best] <= 0:
                both = [batch, partner[best]]
                plan[both] = mine[best], theirs[best]
                harm[both] = _harm(plan[both])
                harm[last] = 0
        return list(plan)

    def _draw(self, left: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """A systematic sample of classes, in portions of `samples_per_class` texts, in proportion to `left`."""
        takes = np.zeros_like(left)
        pairs = np.where(left > 1, left, 0)  # a text that was left alone waits for the end
        if pairs.sum() == 0:
            return takes
        order = rng.permutation(len(left))
        # The most frequent class stands last, so that the others share the first portions: where they are rare, a
        # batch gets one portion of them rather than two now and none later.
        order = order[np.argsort(order == pairs.argmax(), kind="stable")]
        portions = size // self.samples_per_class
        edges = np.cumsum(pairs[order]) / pairs.sum() * portions
        points = np.minimum(rng.random() + np.arange(portions), edges[-1] - 1e-9)
        np.add.at(takes, order[np.searchsorted(edges, points, side="right")], self.samples_per_class)
        takes = np.minimum(takes, pairs)

        others = np.where(takes > 0, 0, pairs)
        if (takes > 0).sum() == 1 and others.sum() >= 2 * (left.sum() // self.batch_size):
            # There is a second class for this batch and for each to come.
            takes[takes.argmax()] -= self.samples_per_class
            second = rng.choice(len(left), p=others / others.sum())
            takes[second] = min(self.samples_per_class, left[second])
        return takes

    def _fit(self, takes: np.ndarray, left: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Moves `takes` to a sum of `size` so that no class has one text in the batch or one text left behind."""
        # What stays alone for the last batch does no harm.
        lonely = 1 if left.sum() - size > self.batch_size else -1
        takes = np.where((takes > 0) & (left - takes == lonely), takes + 1, takes)
        tries = 0
        while (missing := size - takes.sum()) != 0:
            tries += 1
            one = np.sign(missing)
            # One or two texts where that does no harm (two may be one too many, which the next round mends, a few
            # times at most), else one text wherever there is one.
            for step, harmless in ((one, True), (2 * one, True), (one, False)):
                after = takes + step
                allowed = (after >= 0) & (after <= left) & (abs(step) <= abs(missing) + (tries < 10))
                if harmless:
                    allowed &= (after != 1) & (left - after != lonely)
                # Rather more or fewer texts of the classes drawn than another number of classes.
                drawn = allowed & (takes > 0) & (after > 0)
                candidates = np.flatnonzero(drawn if drawn.any() else allowed)
                if len(candidates):
                    takes[rng.choice(candidates)] += step
                    break
        return takes


def _harm(takes: np.ndarray) -> np.ndarray:
    """Of each batch, how many classes have one text in it; plus one where it holds a single class."""
    return (takes == 1).sum(axis=-1) + ((takes > 0).sum(axis=-1) < 2)
