"""The embeddings of the texts of each class in two dimensions."""

from importlib.util import find_spec

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from ...support.extras import load_extra
from ..relations import class_means
from .theme import Theme, new_figure


# More classes than this are told apart by numbers instead of markers.
MOST_CLASSES_WITH_MARKERS = 7
MARKERS = "osD^vPX"
COLORMAP = "viridis"  # of more classes
ROWS_OF_LEGEND = 40
# UMAP looks at this many neighbours of each text, and fails with very few texts.
UMAP_NEIGHBORS = 15


def project(embeddings: np.ndarray, method: str | None = None) -> tuple[np.ndarray, list[str]]:
    """
    Embeddings in two dimensions. They are L2-normalised first, as in the contrastive loss.

    Args:
        embeddings (`np.ndarray` of shape `(rows, hidden)`): at least three rows.
        method (`str`, *optional*): `"pca"` or `"umap"`; by default UMAP where the extra `umap` is installed and there
            are more than 15 texts.

    Returns:
        `tuple[np.ndarray, list[str]]`: coordinates `(rows, 2)` and the names of the two axes.

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
        # With more than one process each call gives another map.
        mapping = umap.UMAP(n_neighbors=UMAP_NEIGHBORS, metric="cosine", random_state=0, n_jobs=1)
        return mapping.fit_transform(unit), ["UMAP 1", "UMAP 2"]
    pca = PCA(2, random_state=0)
    points = pca.fit_transform(unit)
    shares = enumerate(pca.explained_variance_ratio_, start=1)
    return points, [f"principal component {axis} ({share:.0%} of the variance)" for axis, share in shares]


def plot_embedding_map(
    points: np.ndarray,
    axis_labels: list[str],
    references: np.ndarray,
    names: list[str],
    order: list[int],
    theme: Theme,
) -> Figure:
    """
    A scatter plot of the texts, with the centroid of each class: `points` and `axis_labels` from [`project`], and the
    true class ids `references`. Of many classes, neighbours in `order` get similar colours.
    """
    few = len(names) <= MOST_CLASSES_WITH_MARKERS
    columns = -(-len(names) // ROWS_OF_LEGEND)
    figure = new_figure(6.6 + columns * (0.6 + 0.07 * max(map(len, names))), 6.2)
    axes = figure.subplots()
    colors = theme.colors if few else colormaps[COLORMAP](np.linspace(0.05, 1, len(order)))
    size = np.clip(4000 / len(points), 4, 24)
    centroids = class_means(points, references, len(names))
    for rank, (label, color) in enumerate(zip(order, colors)):
        own = points[references == label]
        marker = MARKERS[rank] if few else "o"
        style = {"s": size, "color": [color], "marker": marker, "alpha": 0.5, "linewidths": 0}
        axes.scatter(own[:, 0], own[:, 1], label=f"{rank + 1}", **style)
        if len(own) and few:  # names would overlap where classes are close
            axes.plot(*centroids[label], marker, color=color, markeredgecolor=theme.text, markersize=13)
        elif len(own):
            box = {"boxstyle": "round,pad=0.2", "facecolor": theme.background, "edgecolor": color, "alpha": 0.85}
            axes.annotate(str(rank + 1), centroids[label], ha="center", va="center", fontsize=7, bbox=box)
    title = f"Embeddings of the texts; {'large' if few else 'numbers'}: centroids of the classes"
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], title=title)
    legend = figure.legend(loc="outside right upper", ncols=columns, fontsize=9 if few else 6.5, labelspacing=0.35)
    for rank, (label, text, handle) in enumerate(zip(order, legend.get_texts(), legend.legend_handles), start=1):
        # The names come last: matplotlib leaves out labels that begin with a low line.
        text.set_text(names[label] if few else f"{rank}  {names[label]}")
        if handle is not None:
            handle.set(alpha=1, sizes=[30])
    return figure
