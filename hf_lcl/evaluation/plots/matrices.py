"""Class by class: the confusion matrix and the label relations, as heat maps."""

from typing import TYPE_CHECKING

import numpy as np

from ...support.extras import load_extra
from ..relations import ClassTree
from .theme import Theme, new_figure


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Up to so many classes each cell holds its number.
NUMBERED_CLASSES = 15
LONGEST_NAME = 36
# Of the label relations, in multiples of the equal weights that a network without any knowledge gives: the same colour
# means the same in every picture.
LOWEST, HIGHEST = 1 / 30, 30
TICKS = (1 / 30, 1 / 10, 1 / 3, 1, 3, 10, 30)


def plot_confusion_matrix(shares: np.ndarray, names: list[str], order: list[int], theme: Theme) -> "Figure":
    """
    Which classes are taken for which.

    Args:
        shares (`np.ndarray` of shape `(num_labels, num_labels)`): of the texts of a class (row), how many are given
            which class (column), from 0 to 1; NaN for a class without texts.
        names (`list[str]`): class names by id.
        order (`list[int]`): class ids from top to bottom, as of [`ClassTree`].
        theme ([`Theme`]): the colours.
    """
    figure = new_figure(*_size(names, extra_width=0.9))
    axes = figure.subplots()
    colors = load_extra("matplotlib.colors", extra="plots")
    # The root shows the few errors beside the many hits.
    image = _heat_map(axes, shares, names, order, colors.PowerNorm(0.5, vmin=0, vmax=1), theme)
    axes.set(xlabel="predicted", ylabel="true", title="Share of the texts of a class that is given which class")
    figure.colorbar(image, ax=axes, shrink=0.5, ticks=[0, 0.05, 0.25, 0.5, 1], format="{x:.0%}")
    return figure


def plot_label_relations(
    weights: np.ndarray, names: list[str], tree: ClassTree, theme: Theme, quantity: str = "weight"
) -> "Figure":
    """
    How close the classes are, in multiples of equal weights, with the tree that joins the closest first.

    Args:
        weights (`np.ndarray` of shape `(num_labels, num_labels)`): as from [`label_relations`].
        names (`list[str]`): class names by id.
        tree ([`ClassTree`]): as from [`class_tree`] of `weights`.
        theme ([`Theme`]): the colours.
        quantity (`str`, *optional*, defaults to `"weight"`): what the title calls the numbers.
    """
    width, height = _size(names, extra_width=0.9)
    branch_width = max(1.6, 0.16 * width)
    figure = new_figure(width + branch_width, height)
    branches, axes = figure.subplots(1, 2, width_ratios=[branch_width, width], sharey=True)
    colors = load_extra("matplotlib.colors", extra="plots")
    norm = colors.LogNorm(LOWEST, HIGHEST)
    image = _heat_map(axes, weights * len(names), names, tree.order, norm, theme)
    axes.set_xlabel("is given to")
    # Of the figure, since the heat map of few classes is narrower.
    title = f"Mean {quantity} that texts of a class give to each class, in multiples of 1/{len(names)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.5, ticks=list(TICKS), format="{x:.2g}").minorticks_off()
    _draw_tree(branches, tree, theme)
    return figure


def _size(names: list[str], extra_width: float) -> tuple[float, float]:
    """Inches for cells that hold a number or a line of text, and for the names beside them."""
    cells = len(names) * (0.46 if len(names) <= NUMBERED_CLASSES else 0.15)
    margin = 0.075 * min(max(map(len, names)), LONGEST_NAME) + 0.8
    return max(cells, 2.4) + margin + extra_width, max(cells, 2.4) + margin


def _heat_map(
    axes: "Axes", values: np.ndarray, names: list[str], order: list[int], norm: "Normalize", theme: Theme
) -> "AxesImage":
    ordered, lowest = values[np.ix_(order, order)], norm.vmin or 0.0
    # Zeros have no logarithm, and would look like missing values.
    colormap = load_extra("matplotlib.colors", extra="plots").LinearSegmentedColormap.from_list("", theme.sequential)
    image = axes.imshow(np.maximum(ordered, lowest), cmap=colormap, norm=norm, aspect="auto")
    size = 9 if len(names) <= NUMBERED_CLASSES else 7
    shown = [_shortened(names[index]) for index in order]
    axes.set_xticks(range(len(order)), shown, rotation=90, fontsize=size)
    axes.set_yticks(range(len(order)), shown, fontsize=size)
    axes.yaxis.set_tick_params(labelleft=True, length=0)
    axes.xaxis.set_tick_params(length=0)
    axes.grid(False)
    if len(names) <= NUMBERED_CLASSES:
        for row, column in np.argwhere(np.isfinite(ordered)):
            value = ordered[row, column]
            color = image.cmap(norm(max(value, lowest)))
            text = "0" if value == 0 else "<.01" if value < 0.01 else f"{value:.2f}".lstrip("0")
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=readable_on(color))
    return image


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def readable_on(color: tuple[float, ...]) -> str:
    """Black or white, whichever can be read on a colour."""
    red, green, blue, _ = color
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"


def _draw_tree(axes: "Axes", tree: ClassTree, theme: Theme) -> None:
    """The joins as brackets, leaves at the right, on the rows of the heat map beside it."""
    position = {label: (0.0, float(row)) for row, label in enumerate(tree.order)}
    classes = len(tree.order)
    for step, (left, right, distance, _) in enumerate(tree.linkage):
        (left_x, left_y), (right_x, right_y) = position[int(left)], position[int(right)]
        axes.plot(
            [left_x, distance, distance, right_x],
            [left_y, left_y, right_y, right_y],
            color=theme.text,
            linewidth=0.9,
            solid_joinstyle="miter",
        )
        position[classes + step] = (distance, (left_y + right_y) / 2)
    axes.invert_xaxis()
    axes.set_xlim(right=0)
    axes.set_xlabel("distance")
    axes.yaxis.set_tick_params(labelleft=False, length=0)
    axes.grid(False)
    axes.spines[["left", "right", "top"]].set_visible(False)
