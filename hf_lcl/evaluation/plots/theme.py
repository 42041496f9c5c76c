"""Colours for a light and a dark page, and how a figure gets into a file."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...support.extras import load_extra
from ...support.files import open_whole
from .fonts import use_fonts


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """
    Colours that can be told apart with any kind of colour vision (Okabe and Ito's), on one background.

    Args:
        suffix (`str`): of the names of the files.
        background, text, grid (`str`): colours of the page.
        colors (`tuple[str, ...]`): of lines, bars and points.
        sequential (`tuple[str, ...]`): of numbers from 0 up, ever farther from the background.
        ordinal (`str`): the colour map of many classes in an order.
    """

    suffix: str
    background: str
    text: str
    grid: str
    colors: tuple[str, ...]
    sequential: tuple[str, ...]
    ordinal: str


LIGHT = Theme(
    suffix="",
    background="#ffffff",
    text="#1f2328",
    grid="#d0d7de",
    colors=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9"),
    sequential=("#eef2f7", "#9cc4e4", "#0072b2", "#062a4f"),
    ordinal="viridis",
)
DARK = Theme(
    suffix="_dark",
    background="#0d1117",
    text="#e6edf3",
    grid="#30363d",
    colors=("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#ffffff", "#f0e442", "#d55e00"),
    sequential=("#161b22", "#0b4a7a", "#56b4e9", "#f7fbff"),
    ordinal="viridis",
)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of a size in inches, without matplotlib's global state: nothing is left to be closed."""
    return load_extra("matplotlib.figure", extra="plots").Figure(figsize=(width, height), layout="constrained")


def save_picture(draw: Callable[[Theme], "Figure"], folder: Path, name: str) -> list[Path]:
    """
    Writes `name.png` for light pages and `name_dark.png` for dark ones.

    Args:
        draw (`Callable[[Theme], Figure]`): draws the figure in a theme.
        folder (`Path`): an existing folder.
        name (`str`): without an ending.

    Returns:
        `list[Path]`: the two files.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    paths = []
    for theme in (LIGHT, DARK):
        with load_extra("matplotlib", extra="plots").rc_context(_settings(theme)):
            paths.append(folder / f"{name}{theme.suffix}.png")
            # Without a time or a version, so that equal pictures are equal files.
            figure = draw(theme)
            use_fonts(figure)
            with open_whole(paths[-1], "wb") as file, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing")  # told once, by name of the font that has it
                figure.savefig(file, format="png", metadata={"Software": None})
    return paths


def _settings(theme: Theme) -> dict[str, Any]:
    return {
        "axes.edgecolor": theme.grid,
        "axes.facecolor": theme.background,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.labelcolor": theme.text,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": theme.text,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "figure.facecolor": theme.background,
        "font.size": 9,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.labelcolor": theme.text,
        "savefig.dpi": 130,
        "text.color": theme.text,
        "text.parse_math": False,  # class names may hold dollar signs
        "xtick.color": theme.text,
        "ytick.color": theme.text,
    }
