"""Where the texts of each class lie, in two dimensions."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from ...support.extras import load_extra
from .theme import Theme, new_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Beyond so many classes colours cannot be told apart: numbers stand for the names.
COLORED_CLASSES = 7
MARKERS = "osD^vPX"
ROWS_OF_LEGEND = 40
# UMAP looks at so many neighbours of each text, and fails with very few texts.
UMAP_NEIGHBORS = 15


def project(embeddings: np.ndarray, method: str | None = None, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """
    Embeddings in two dimensions. They are L2-normalised first, as the contrastive loss compares them.

    Args:
        embeddings (`np.ndarray` of shape `(rows, hidden)`): at least three.
        method (`str`, *optional*): `"pca"` or `"umap"`; by default UMAP where the extra `umap` is installed and there
            are more than 15 texts.
        seed (`int`, *optional*, defaults to 0): of UMAP.

    Returns:
        `tuple[np.ndarray, list[str]]`: coordinates `(rows, 2)`, and what the two axes are.

    Raises:
        ImportError: for `"umap"` where it is not installed.
        ValueError: for fewer than three texts.
    """
    if len(embeddings) < 3:
        raise ValueError(f"{len(embeddings)} texts make no map: give at least 3.")
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(min=1e-12)
    if method is None:
        method = "umap" if find_spec("umap") and len(embeddings) > UMAP_NEIGHBORS else "pca"
    if method == "umap":
        umap = load_extra("umap", extra="umap")
        # More processes give another map each time.
        mapping = umap.UMAP(n_neighbors=UMAP_NEIGHBORS, metric="cosine", random_state=seed, n_jobs=1)
        return mapping.fit_transform(unit), ["UMAP 1", "UMAP 2"]
    from sklearn.decomposition import PCA  # takes a second, which training need not wait for

    pca = PCA(2, random_state=seed)
    points = pca.fit_transform(unit)
    shares = pca.explained_variance_ratio_
    return points, [
        f"principal component {axis} ({share:.0%} of the variance)" for axis, share in enumerate(shares, 1)
    ]


def class_centroids(points: np.ndarray, references: np.ndarray, num_labels: int) -> np.ndarray:
    """The mean of the points `(rows, 2)` of each class, `(num_labels, 2)`; NaN for a class without texts."""
    members = np.eye(num_labels)[references]
    with np.errstate(invalid="ignore"):
        return members.T @ points / members.sum(axis=0)[:, None]


def plot_embedding_map(
    points: np.ndarray,
    axis_labels: list[str],
    references: np.ndarray,
    names: list[str],
    order: list[int],
    theme: Theme,
) -> "Figure":
    """
    The texts as points, the classes at their centroids.

    Args:
        points (`np.ndarray` of shape `(rows, 2)`): as from [`project`].
        axis_labels (`list[str]`): what the two axes are.
        references (`np.ndarray` of shape `(rows,)`): true class ids.
        names (`list[str]`): class names by id.
        order (`list[int]`): class ids; close ones get similar colours where there are many.
        theme ([`Theme`]): the colours.
    """
    few = len(names) <= COLORED_CLASSES
    columns = -(-len(names) // ROWS_OF_LEGEND)
    figure = new_figure(6.6 + columns * (0.6 + 0.07 * max(map(len, names))), 6.2)
    axes = figure.subplots()
    colormap = load_extra("matplotlib", extra="plots").colormaps[theme.ordinal]
    centroids = class_centroids(points, references, len(names))
    for rank, label in enumerate(order):
        color = theme.colors[rank] if few else colormap(0.05 + 0.95 * rank / len(order))
        own = points[references == label]
        axes.scatter(
            own[:, 0],
            own[:, 1],
            s=np.clip(4000 / len(points), 4, 24),
            color=[color],
            marker=MARKERS[rank] if few else "o",
            alpha=0.5,
            linewidths=0,
            label=f"{rank + 1}",
        )
        if len(own) and few:  # names would cover one another where classes lie close together
            axes.plot(*centroids[label], MARKERS[rank], color=color, markeredgecolor=theme.text, markersize=13)
        elif len(own):
            box = {"boxstyle": "round,pad=0.2", "facecolor": theme.background, "edgecolor": color, "alpha": 0.85}
            axes.annotate(str(rank + 1), centroids[label], ha="center", va="center", fontsize=7, bbox=box)
    title = f"Embeddings of the texts; {'large' if few else 'numbers'}: centroids of the classes"
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], title=title)
    legend = figure.legend(loc="outside right upper", ncols=columns, fontsize=9 if few else 6.5, labelspacing=0.35)
    for label, text, handle in zip(order, legend.get_texts(), legend.legend_handles):
        # Only now: matplotlib leaves out what is called _something.
        text.set_text(names[label] if few else f"{text.get_text()}  {names[label]}")
        if handle is not None:
            handle.set(alpha=1, sizes=[30])
    return figure
