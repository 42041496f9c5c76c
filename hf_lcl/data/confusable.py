"""Classes that are easily taken for one another, drawn into the same batch."""

import numpy as np


CANDIDATES = 4


class Neighbours:
    """
    Names, now and then, classes that are close to those in a batch.

    Args:
        similarity (`np.ndarray` of shape `(classes, classes)`): how close two classes are; any scale, never negative.
        share (`float`): how often close classes are named, from 0 to 1.
        rng (`np.random.Generator`): draws.

    Called with the texts by class in a batch, it returns no class or a few that are not in the batch, drawn in
    proportion to their similarity to those that are.
    """

    def __init__(self, similarity: np.ndarray, share: float, rng: np.random.Generator):
        self.similarity, self.share, self.rng = similarity, share, rng

    def __call__(self, batch: dict[int, int]) -> list[int]:
        if not batch or self.rng.random() >= self.share:
            return []
        members = list(batch)
        weights = self.similarity[members].sum(axis=0)
        weights[members] = 0
        edges = weights.cumsum()
        return edges.searchsorted(self.rng.random(CANDIDATES) * edges[-1], side="right").tolist() if edges[-1] else []
