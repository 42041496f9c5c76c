"""Groups of texts to batches, each out of a window of the groups that come next."""

import math
from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple


# Groups to choose from, in batches: the more, the better classes are mixed, and the less alike are lengths.
WINDOW_BATCHES = 3


class Group(NamedTuple):
    """Texts of a class, by their places in an order."""

    label: int
    start: int
    stop: int


def fill_batches(groups: list[Group], batch_size: int) -> Iterator[list[Group]]:
    """
    Fills batches with whole groups, as far as possible in the order in which they come.

    A group is passed over for now where its class has its share of the batch already, or where no choice among the
    groups after it would fill the batch to the last place. Where no choice of groups fills a batch, one is cut in two.

    Args:
        groups (`list[Group]`): in the order in which batches would like them.
        batch_size (`int`): texts per batch.

    Yields:
        `list[Group]`: one batch of `batch_size` texts; the last may have fewer.
    """
    texts = sum(group.stop - group.start for group in groups)
    batches = math.ceil(texts / batch_size)
    share = {label: math.ceil(count / batches) for label, count in Counter(group.label for group in groups).items()}
    most = max(math.ceil(len(groups) / batches) - 1, 1)  # leaves a place for a second class
    places = (1 << batch_size + 1) - 1
    coming, window = deque(groups), []
    while coming or window:
        while coming and len(window) < WINDOW_BATCHES * len(groups) / batches:
            window.append(coming.popleft())
        # Bit n of sums[i]: whether groups from the i-th on can be chosen that have n texts together.
        sums = [1]
        for group in reversed(window):
            sums.append((sums[-1] | sums[-1] << group.stop - group.start) & places)
        sums.reverse()
        fits = sums[0] >> batch_size & 1
        batch, passed_over, room, taken = [], [], batch_size, Counter()
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
