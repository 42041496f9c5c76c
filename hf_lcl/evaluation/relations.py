"""How close the classes are to one another, out of the mean weights or probabilities that texts give to them."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform


# Affinities below this are equally far apart.
FLOOR = 1e-4
# A network has learned something of the classes where the entropy of its mean weights is lower by this share at least.
LEAST_SHORTFALL = 0.05


@dataclass(frozen=True)
class ClassTree:
    """
    Classes joined step by step, closest first.

    Args:
        order (`list[int]`): class ids; those that are close stand next to each other.
        linkage (`np.ndarray` of shape `(num_labels - 1, 4)`): the steps, as scipy writes them.
    """

    order: list[int]
    linkage: np.ndarray


def label_relations(weighting_logits: np.ndarray, references: np.ndarray) -> np.ndarray:
    r"""
    The mean weight that texts of class `y` give to each class `y'`: the mean of `softmax(weighting_logits)` over them.

    In the label-aware contrastive loss this is how hard the class `y'` is pushed away from the class `y`: the larger,
    the closer the two are ([paper](https://huggingface.co/papers/2109.05427)).

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
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    members = np.eye(logits.shape[1])[references]
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: nothing is known of that class
        return members.T @ weights / members.sum(axis=0)[:, None]


def is_nearly_uniform(affinity: np.ndarray) -> bool:
    """
    Whether all classes get almost the same weight: the mean entropy of the rows is within 5% of `log(num_labels)`.
    Which weights are the largest is chance then.

    Args:
        affinity (`np.ndarray` of shape `(num_labels, num_labels)`): as from [`label_relations`].

    Returns:
        `bool`: `True` also where no class has texts.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lcl.evaluation.relations import is_nearly_uniform

    >>> is_nearly_uniform(np.array([[0.55, 0.45], [0.48, 0.52]]))
    True
    >>> is_nearly_uniform(np.array([[0.9, 0.1], [0.2, 0.8]]))
    False
    ```
    """
    known = affinity[np.isfinite(affinity).all(axis=1)]
    entropy = -(known * np.log(known.clip(min=1e-300))).sum(axis=1)
    return not len(known) or bool(entropy.mean() > (1 - LEAST_SHORTFALL) * np.log(affinity.shape[1]))


def class_tree(affinity: np.ndarray) -> ClassTree:
    """
    Hierarchical clustering of the classes (average linkage, leaves in the order that puts close ones side by side).

    The distance of two classes is `-log` of their mean affinity in both directions: half the affinity is 0.69 farther.

    Args:
        affinity (`np.ndarray` of shape `(num_labels, num_labels)`): from 0 to 1, such as [`label_relations`] or a
            row-normalised confusion matrix; NaN for a class without texts. The diagonal does not count.

    Returns:
        [`ClassTree`]
    """
    distance = -np.log(np.clip(_mutual(affinity), FLOOR, 1))
    np.fill_diagonal(distance, 0)
    steps = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    return ClassTree(leaves_list(steps).tolist(), steps)


def _mutual(affinity: np.ndarray) -> np.ndarray:
    """The mean of both directions, of the known one where the other is not, and 0 where neither is."""
    both = np.stack([affinity, affinity.T])
    known = np.isfinite(both).sum(axis=0)
    return np.nan_to_num(both).sum(axis=0) / known.clip(min=1)


def closest_pairs(affinity: np.ndarray, names: list[str], top: int = 10) -> list[dict[str, str | float]]:
    """
    The pairs of classes with the largest mean affinity in both directions.

    Args:
        affinity (`np.ndarray` of shape `(num_labels, num_labels)`): as for [`class_tree`].
        names (`list[str]`): class names by id.
        top (`int`, *optional*, defaults to 10): how many pairs at the most.

    Returns:
        `list[dict]`: `label`, `other` and `affinity`, closest first.
    """
    mutual = _mutual(affinity)
    rows, columns = np.triu_indices(len(names), k=1)
    values = mutual[rows, columns]
    best = np.argsort(-values, kind="stable")[:top]
    return [
        {"label": names[rows[index]], "other": names[columns[index]], "affinity": float(values[index])}
        for index in best
    ]
