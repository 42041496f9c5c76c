"""Similarity of the classes, from the mean weights or probabilities that their texts give to each class."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.special import entr, softmax


# Smaller affinities are clipped to this value.
LEAST_AFFINITY = 1e-4
# A network has learned something about the classes if its mean weights have an entropy below uniform by this share.
LEAST_ENTROPY_LOSS = 0.05


@dataclass(frozen=True)
class ClassTree:
    """
    Hierarchical clustering of the classes.

    Args:
        order (`list[int]`): class ids; close classes stand next to each other.
        linkage (`np.ndarray` of shape `(num_labels - 1, 4)`): the merges, as scipy writes them.
    """

    order: list[int]
    linkage: np.ndarray


def label_relations(weighting_logits: np.ndarray, references: np.ndarray) -> np.ndarray:
    r"""
    The mean weight that texts of class `y` give to each class `y'`: the mean of `softmax(weighting_logits)` over them.

    In the label-aware contrastive loss ([paper](https://huggingface.co/papers/2109.05427)) this is how hard the class
    `y'` is pushed away from the class `y`: the larger, the closer the two are.

    Args:
        weighting_logits (`np.ndarray` of shape `(rows, num_labels)`): the weighting network's.
        references (`np.ndarray` of shape `(rows,)`): true class ids.

    Returns:
        `np.ndarray` of shape `(num_labels, num_labels)`: rows add up to 1; NaN for a class without texts.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation import label_relations

    >>> logits = np.log([[0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    >>> label_relations(logits, np.array([0, 0, 1])).round(2)
    array([[0.7, 0.2, 0.1],
           [0.2, 0.7, 0.1],
           [nan, nan, nan]])
    ```
    """
    logits = np.asarray(weighting_logits, dtype=np.float64)
    return class_means(softmax(logits, axis=1), references, logits.shape[1])


def class_means(values: np.ndarray, references: np.ndarray, num_labels: int) -> np.ndarray:
    """
    The mean of the rows of `values` of each class, `(num_labels, columns)`; NaN for a class without texts. References
    are class ids `(rows,)`, or rows of 0 and 1 `(rows, num_labels)`.
    """
    members = np.eye(num_labels)[references] if np.ndim(references) == 1 else np.asarray(references, dtype=float)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return members.T @ values / members.sum(axis=0)[:, None]


def is_nearly_uniform(affinity: np.ndarray) -> bool:
    """
    Whether all classes get almost the same weight, so that the order of the weights is chance.

    True if the mean entropy of the rows of `affinity` is within 5% of `log(num_labels)`, or no class has texts.
    """
    known = affinity[np.isfinite(affinity).all(axis=1)]
    limit = (1 - LEAST_ENTROPY_LOSS) * np.log(affinity.shape[1])
    return not len(known) or bool(entr(known).sum(axis=1).mean() > limit)


def class_tree(affinity: np.ndarray) -> ClassTree:
    """
    Hierarchical clustering of the classes (average linkage, optimal leaf order).

    The distance of two classes is `-log` of their mean affinity in both directions: half the affinity adds 0.69.

    Args:
        affinity (`np.ndarray` of shape `(num_labels, num_labels)`): from 0 to 1, such as [`label_relations`] or a
            row-normalised confusion matrix; NaN for a class without texts. The diagonal does not count.
    """
    distance = -np.log(np.clip(_symmetric(affinity), LEAST_AFFINITY, 1))
    np.fill_diagonal(distance, 0)
    merges = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    return ClassTree(leaves_list(merges).tolist(), merges)


def closest_pairs(affinity: np.ndarray, names: list[str], top: int = 10) -> list[dict[str, str | float]]:
    """
    At most `top` pairs of classes with the largest mean affinity in both directions (see [`class_tree`]), closest
    first, as rows with `label`, `other` and `affinity`. `names` are the class names by id.
    """
    symmetric = _symmetric(affinity)
    pairs = sorted(zip(*np.triu_indices(len(names), k=1)), key=lambda pair: -symmetric[pair])
    return [
        {"label": names[row], "other": names[column], "affinity": float(symmetric[row, column])}
        for row, column in pairs[:top]
    ]


def _symmetric(affinity: np.ndarray) -> np.ndarray:
    """The mean of both directions; of one if the other is NaN, and 0 if both are."""
    both = np.stack([affinity, affinity.T])
    return np.ma.masked_invalid(both).mean(axis=0).filled(0)
