"""Groups of texts to batches, each out of a window of the groups that come next."""

import math
from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple


WINDOW_BATCHES = 3  # groups to choose from: the more, the better classes are mixed, and the less alike are lengths


class Group(NamedTuple):
    """Texts of a class, by their places in an order."""

    label: int
    start: int
    stop: int


def fill_batches(groups: list[Group], batch_size: int) -> Iterator[list[Group]]:
    """
    Fills batches of `batch_size` texts with whole groups, as far as possible in the order in which they come; the last
    batch may have fewer texts.

    First come the groups of classes that do not have their share of the batch yet. A group is passed over for now
    where its class has its share and a part of another already, or where no choice among the groups after it would
    fill the batch to the last place. Where no choice of groups fills a batch, one is cut in two.
    """
    batches = math.ceil(sum(group.stop - group.start for group in groups) / batch_size)
    share = {label: count / batches for label, count in Counter(group.label for group in groups).items()}
    most = max(math.ceil(len(groups) / batches) - 1, 1)  # leaves a place for a second class
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
        # Bit n of sums[i]: whether groups from the i-th on can be chosen that have n texts together.
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
