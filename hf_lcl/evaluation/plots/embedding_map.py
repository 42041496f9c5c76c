"""The embeddings of the texts of each class in two dimensions."""

from importlib.util import find_spec

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from ...support.extras import load_extra
from ...support.tables import shortened
from ..relations import class_means
from .fonts import use_fonts
from .theme import new_figure


# Each highlighted class has a colour and a shape.
MARKERS = "osD^vPX<>*"
LONGEST_NAME = 28
# UMAP uses this many neighbours of each text, and fails with very few texts.
UMAP_NEIGHBORS = 15


def project(embeddings: np.ndarray, method: str | None = None) -> tuple[np.ndarray, list[str]]:
    """
    Embeddings `(rows, hidden)` in two dimensions, and the names of the two axes. They are L2-normalised first, as in
    the contrastive loss. The method is `"pca"` or `"umap"`; by default UMAP where the extra `umap` is installed and
    there are more than 15 texts.
    """
    unit = normalize(embeddings)
    if method is None:
        method = "umap" if find_spec("umap") and len(embeddings) > UMAP_NEIGHBORS else "pca"
    if method == "umap":
        umap = load_extra("umap", extra="umap")
        # With more than one process, the map is not reproducible.
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
    highlighted: list[int],
) -> Figure:
    """
    A scatter plot of the texts with the name of each class at its centroid: `points` and `axis_labels` from
    [`project`], and the true class ids `references`. Each of the classes `highlighted`, at most ten, has its own
    colour and shape; texts of the others are small grey dots.
    """
    figure = new_figure(*((8.4, 6.2) if len(names) <= len(MARKERS) else (11, 8.5)))
    axes = figure.subplots()
    size = np.clip(4000 / len(points), 6, 24)
    centroids = class_means(points, references, len(names))
    groups, labels = [], [shortened(names[label], LONGEST_NAME) for label in highlighted]
    others = points[~np.isin(references, highlighted)]
    if len(others):
        x, y = others.T
        groups.append(axes.scatter(x, y, s=size / 3, color="0.55", alpha=0.5, linewidths=0))
        labels.insert(0, "other classes")
    for rank, label in enumerate(highlighted):
        x, y = points[references == label].T
        groups.append(axes.scatter(x, y, s=size, color=f"C{rank}", marker=MARKERS[rank], alpha=0.55, linewidths=0))
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1], title="Embeddings of the texts, names at the centroids")
    legend = figure.legend(groups, labels, loc="outside right upper", fontsize=8)
    for handle in filter(None, legend.legend_handles):
        handle.set(alpha=1, sizes=[30])
    first = [label for label in [*highlighted, *range(len(names))] if np.isfinite(centroids[label]).all()]
    figure.draw_without_rendering()  # computes the layout
    _write_names(axes, {label: centroids[label] for label in first}, names, set(highlighted))
    return figure


def _write_names(axes: Axes, places: dict[int, np.ndarray], names: list[str], bold: set[int]) -> None:
    """Writes names near their places without overlap; the first ones are placed first, and so the nearest."""
    outline = [withStroke(linewidth=2.5, foreground=rcParams["axes.facecolor"])]
    line = {"arrowstyle": "-", "color": rcParams["text.color"], "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
    turns = np.arange(400)  # a spiral, in points
    offsets = 6 * np.sqrt(turns)[:, None] * np.stack([1.6 * np.cos(2.4 * turns), np.sin(2.4 * turns)], axis=1)
    centers, sizes = np.empty((0, 2)), np.empty((0, 2))
    for label, place in places.items():
        name = axes.annotate(
            shortened(names[label], LONGEST_NAME),
            tuple(place),
            (0, 0),
            textcoords="offset points",
            arrowprops=line,
            ha="center",
            va="center",
            fontsize=9 if len(places) <= len(MARKERS) else 8 if label in bold else 6,
            fontweight="bold" if label in bold else "normal",
            path_effects=outline,
        )
        use_fonts(name)
        box = name.get_window_extent()
        size, center = np.array([box.width, box.height]), axes.transData.transform(place)
        tried = center + offsets * axes.figure.dpi / 72
        covers = (np.abs(tried[:, None] - centers) < (size + sizes) / 2).all(axis=2).any(axis=1)
        best = int(covers.argmin())  # the first that covers none
        name.set_position(offsets[best])
        centers, sizes = np.vstack([centers, tried[best]]), np.vstack([sizes, size])
