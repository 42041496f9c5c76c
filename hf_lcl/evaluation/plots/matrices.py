"""Heat maps of class by class: the confusion matrix and the label relations."""

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.cluster.hierarchy import dendrogram

from ...support.tables import shortened
from ..relations import ClassTree
from .theme import new_figure


# Up to this many classes each cell shows its number.
MOST_NUMBERED_CLASSES = 30
LONGEST_NAME = 36
# The colour scale of the label relations, in multiples of equal weights: the same in every picture.
RELATION_TICKS = (1 / 30, 1 / 10, 1 / 3, 1, 3, 10, 30)


def plot_confusion_matrix(
    shares: np.ndarray,
    names: list[str],
    order: list[int],
    columns: str = "predicted",
    rows: str = "true",
    title: str = "Share of the texts of a class that is given which class",
) -> Figure:
    """
    The confusion matrix of the classes in `order`, where `shares` of shape `(num_labels, num_labels)` holds the share
    of the texts of a class (row) that is predicted as each class (column), or what `title` says; NaN for a class
    without texts. `columns` and `rows` are the labels of the axes.
    """
    figure = new_figure(*_size([names[index] for index in order]))
    axes = figure.subplots()
    # The square root makes small shares of errors visible.
    image = _heat_map(axes, shares, names, order, PowerNorm(0.5, vmin=0, vmax=1))
    axes.set(xlabel=columns, ylabel=rows, title=title)
    figure.colorbar(image, ax=axes, shrink=0.5, ticks=[0, 0.05, 0.25, 0.5, 1], format="{x:.0%}")
    return figure


def plot_label_relations(weights: np.ndarray, names: list[str], tree: ClassTree, quantity: str = "weight") -> Figure:
    """
    The `weights` from [`label_relations`] in multiples of equal weights, beside their [`class_tree`]. `quantity` is
    their name in the title.
    """
    width, height = _size(names)
    branch_width = max(1.6, 0.16 * width)
    figure = new_figure(width + branch_width, height)
    branches, axes = figure.subplots(1, 2, width_ratios=[branch_width, width])
    norm = LogNorm(RELATION_TICKS[0], RELATION_TICKS[-1])
    image = _heat_map(axes, weights * len(names), names, tree.order, norm)
    axes.set_xlabel("is given to")
    title = f"Mean {quantity} that texts of a class give to each class, in multiples of 1/{len(names)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)  # not of the axes, which are too narrow for few classes
    figure.colorbar(image, ax=axes, shrink=0.5, ticks=list(RELATION_TICKS), format="{x:.2g}").minorticks_off()
    # The merges as brackets, with the leaves at the right, on the rows of the heat map beside it.
    color = {"color_threshold": 0, "above_threshold_color": rcParams["text.color"]}
    dendrogram(tree.linkage, orientation="left", no_labels=True, ax=branches, **color)
    branches.collections[0].set_linewidth(0.9)
    branches.invert_yaxis()
    branches.set_xlabel("distance")
    branches.grid(False)
    branches.spines[["left", "right", "top"]].set_visible(False)
    return figure


def _size(names: list[str]) -> tuple[float, float]:
    """Inches for the cells, the names beside them and a colour bar."""
    cells = max(len(names) * (0.15 if len(names) > MOST_NUMBERED_CLASSES else 0.36 if len(names) > 15 else 0.46), 2.4)
    height = cells + 0.075 * min(max(map(len, names)), LONGEST_NAME) + 0.8
    return height + 0.9, height


def _heat_map(axes: Axes, values: np.ndarray, names: list[str], order: list[int], norm: Normalize) -> AxesImage:
    ordered, lowest = values[np.ix_(order, order)], norm.vmin or 0.0
    # Zeros have no logarithm, and would look like missing values.
    image = axes.imshow(np.maximum(ordered, lowest), norm=norm, aspect="auto")
    is_numbered = len(order) <= MOST_NUMBERED_CLASSES
    size = 9 if is_numbered else 7
    shown = [shortened(names[index], LONGEST_NAME) for index in order]
    axes.set_xticks(range(len(order)), shown, rotation=90, fontsize=size)
    axes.set_yticks(range(len(order)), shown, fontsize=size)
    axes.tick_params(labelleft=True, length=0)
    axes.grid(False)
    for row, column in np.argwhere(ordered > 0) if is_numbered else ():
        value = ordered[row, column]
        color = readable_on(image.cmap(norm(max(value, lowest))))
        text = "<.01" if value < 0.01 else f"{value:.2f}".lstrip("0")
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    return image


def readable_on(color: tuple[float, ...]) -> str:
    """Black or white, whichever is readable on a colour."""
    red, green, blue, _ = color
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
