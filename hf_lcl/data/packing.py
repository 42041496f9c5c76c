"""Turns of classes to batches: how many texts of each class stand in each batch of an epoch."""

import heapq
from collections.abc import Iterator

import numpy as np


class Packer:
    """
    Fills one batch after another from a line in which classes wait for their turns.

    A turn is worth `portion` texts, or one more or less where a text would else stay alone, in the batch or of those
    that its class has left. A batch takes the turns in order, but:

    - a class that is in the batch waits for the next one, once, so that a batch holds as many classes as fit;
    - where the most frequent class would later have to fill batches alone, it takes the place of others now;
    - where one class has filled a batch, another one gets a few of its places.

    A class that got texts before its turn misses a turn later.

    Iterating gives one `dict[int, int]` per batch, texts by class. All but the last sum to `batch_size`.

    Args:
        line (`list[int]`): classes in the order of their turns.
        left (`list[int]`): number of texts of each class; counted down.
        batch_size (`int`): texts per batch.
        portion (`int`): texts of a class per turn, at least 2.
        most_classes (`int`): classes in a batch, unless these run out of texts.
    """

    def __init__(
        self,
        line: list[int],
        left: list[int],
        batch_size: int,
        portion: int,
        most_classes: int,
    ):
        self.line, self.left = line[::-1], left  # the first stands last, where it can be popped
        self.batch_size, self.portion, self.most_classes = batch_size, portion, most_classes
        self.pairs = sum(texts // 2 for texts in left)
        self.ahead = [0] * len(left)  # texts that a class got before their turn
        self.by_frequency = [(-texts, label) for label, texts in enumerate(left)]
        heapq.heapify(self.by_frequency)

    def __iter__(self) -> Iterator[dict[int, int]]:
        total = sum(self.left)
        while total > self.batch_size:
            yield self._fill(total)
            total -= self.batch_size
        if total:
            yield {label: texts for label, texts in enumerate(self.left) if texts}

    def _fill(self, total: int) -> dict[int, int]:
        """One batch of `batch_size`, given the `total` of all texts that are left."""
        top = self._most_frequent()
        later = -(-total // self.batch_size) - 2  # batches to come, without the last, which may hold one class
        others = self.pairs - self.left[top] // 2
        spare = max(1, others - later)  # pairs of other classes that this batch may take
        batch: dict[int, int] = {}
        room, waiting, failures = self.batch_size, [], 0
        while room:
            label, in_turn = self._draw(batch, waiting)
            too_many = label not in batch and len(batch) >= self.most_classes and not failures
            if too_many or (label != top and spare < 1):
                if in_turn:
                    waiting.append(label)
                label, in_turn = max(batch, key=self.left.__getitem__) if too_many else top, False
            take = self._amount(label, room, spare if label != top else room, label in batch)
            if not take:
                if in_turn:
                    waiting.append(label)
                failures += 1
                if failures < 64:
                    continue
                label, in_turn = self._most_frequent(), False
                take = min(room, self.left[label])  # `mend` will see to what this leaves alone
            pairs = self._give(batch, label, take)
            room -= take
            spare -= pairs if label != top else 0
            self.ahead[label] -= self.portion if in_turn else 0
            # Where the others are too few for all batches they stay where they are.
            if len(batch) == 1 and room <= self.portion + 1 and others > 0.9 * later:
                room = self._let_in(batch, room, spare, top)
        self.line += reversed(waiting)
        return batch

    def _draw(self, batch: dict[int, int], waiting: list[int]) -> tuple[int, bool]:
        """The class to draw from, and whether it is its turn."""
        while (label := self._next()) in batch and label not in waiting:
            waiting.append(label)
        return label, True

    def _next(self) -> int:
        """The class whose turn it is."""
        while True:
            if not self.line:
                self.line = [c for c, texts in enumerate(self.left) for _ in range(-(-texts // self.portion))]
                self.ahead = [0] * len(self.left)
            label = self.line.pop()
            if self.left[label] and self.ahead[label] <= 0:
                return label
            self.ahead[label] -= self.portion

    def _let_in(self, batch: dict[int, int], room: int, spare: int, top: int) -> int:
        """Ends a batch of one class with a second one. Returns the room that is left: all where that cannot be."""
        (label,) = batch
        second = max((c for c in range(len(self.left)) if c != label), key=self.left.__getitem__)
        take = room if label != top else self._amount(second, self.batch_size, spare, False)
        rests = self.left[label] - (room - take), self.left[second] - take
        if not take or min(rests) < 0 or 1 in rests:
            return room
        self._give(batch, label, room - take)
        self._give(batch, second, take)
        return 0

    def _give(self, batch: dict[int, int], label: int, texts: int) -> int:
        """Moves texts of a class into a batch. Returns how many pairs fewer the class has left."""
        before = self.left[label]
        batch[label] = batch.get(label, 0) + texts
        self.left[label] -= texts
        self.ahead[label] += texts
        pairs = before // 2 - self.left[label] // 2
        self.pairs -= pairs
        return pairs

    def _amount(self, label: int, room: int, most_pairs: int, present: bool) -> int:
        """How many texts of a class a batch takes; 0 where any number would leave one alone."""
        left = self.left[label]
        usual = min(self.portion, 2 * most_pairs, left, room)
        for take in (usual, usual + 1, usual - 1):
            possible = 0 < take <= min(left, room) and left // 2 - (left - take) // 2 <= most_pairs
            if possible and (take > 1 or present) and left - take != 1 and room - take != 1:
                return take
        return 0

    def _most_frequent(self) -> int:
        """The class with most texts left."""
        while -self.by_frequency[0][0] != self.left[self.by_frequency[0][1]]:
            label = self.by_frequency[0][1]
            heapq.heapreplace(self.by_frequency, (-self.left[label], label))
        return self.by_frequency[0][1]


def mend(batches: list[dict[int, int]], rng: np.random.Generator) -> None:
    """
    Trades texts of two classes between two batches, in place, until no batch but the last holds a text alone or one
    class only, or no trade helps.

    Args:
        batches (`list[dict[int, int]]`): texts by class.
        rng (`np.random.Generator`): picks the trades to try.
    """
    last = len(batches) - 1
    harmed = [index for index, batch in enumerate(batches[:-1]) if len(batch) < 2 or min(batch.values()) < 2]
    # Where very many are harmed the classes do not allow a remedy: no need to try for long.
    for start in range(0, min(len(harmed), 512), 32):
        partners = rng.choice(len(batches), size=min(128, len(batches)), replace=False)
        chosen = [*sorted({*harmed[start : start + 32], *partners.tolist()} - {last}), last]
        labels = sorted({label for index in chosen for label in batches[index]})
        takes = np.array([[batches[index].get(label, 0) for label in labels] for index in chosen])
        _trade(takes, rng)
        for index, row in zip(chosen, takes.tolist()):
            batches[index] = {label: texts for label, texts in zip(labels, row) if texts}


def _trade(takes: np.ndarray, rng: np.random.Generator) -> None:
    """Again and again the best of a few random trades is made, if it does no more harm than it mends."""
    last, choices = len(takes) - 1, 256
    harm = _harm(takes)
    harm[last] = 0  # the last batch takes what is left
    for _ in range(400):
        if not harm.any():
            break
        batch = rng.choice(np.flatnonzero(harm))
        partner = rng.integers(len(takes), size=choices)
        given = rng.choice(np.flatnonzero(takes[batch]), size=choices)
        taken = (rng.random((choices, takes.shape[1])) * (takes[partner] > 0)).argmax(axis=1)
        amount = rng.integers(1, 3, size=choices)
        change = np.zeros((choices, takes.shape[1]), dtype=takes.dtype)
        change[np.arange(choices), given] -= amount
        change[np.arange(choices), taken] += amount
        mine, theirs = takes[batch] + change, takes[partner] - change
        new_harm = _harm(mine) + np.where(partner == last, 0, _harm(theirs)) - harm[batch] - harm[partner]
        possible = (mine >= 0).all(axis=1) & (theirs >= 0).all(axis=1) & (partner != batch) & (given != taken)
        best = np.where(possible, new_harm, 1).argmin()
        if possible[best] and new_harm[best] <= 0:
            both = [batch, partner[best]]
            takes[both] = mine[best], theirs[best]
            harm[both] = _harm(takes[both])
            harm[last] = 0


def _harm(takes: np.ndarray) -> np.ndarray:
    """Of each batch, how many classes have one text in it; plus one where it holds a single class."""
    return (takes == 1).sum(axis=-1) + ((takes > 0).sum(axis=-1) < 2)
