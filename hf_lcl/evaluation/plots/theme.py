"""Colours for light and dark pages, and how a figure becomes a file."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from ...support.files import open_whole
from .fonts import use_fonts


@dataclass(frozen=True)
class Theme:
    """Colours on one background that can be told apart with any kind of colour vision (Okabe and Ito's)."""

    suffix: str  # ends the names of the files
    background: str
    text: str
    grid: str
    muted: str  # of what stands back
    colors: tuple[str, ...]  # of lines, bars and points
    sequential: tuple[str, ...]  # of numbers from 0 up, from near the background to far from it


LIGHT = Theme(
    suffix="",
    background="#ffffff",
    text="#1f2328",
    grid="#d0d7de",
    muted="#8c959f",
    colors=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9"),
    sequential=("#eef2f7", "#9cc4e4", "#0072b2", "#062a4f"),
)
DARK = Theme(
    suffix="_dark",
    background="#0d1117",
    text="#e6edf3",
    grid="#30363d",
    muted="#6e7681",
    colors=("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#ffffff", "#f0e442", "#d55e00"),
    sequential=("#161b22", "#0b4a7a", "#56b4e9", "#f7fbff"),
)
SETTINGS: dict[Any, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 130,
    "text.parse_math": False,  # class names may hold dollar signs
}
# The settings of matplotlib that take each colour of a theme.
BACKGROUNDS = ("axes.facecolor", "figure.facecolor")
TEXTS = ("axes.labelcolor", "axes.titlecolor", "legend.labelcolor", "text.color", "xtick.color", "ytick.color")
GRIDS = ("axes.edgecolor", "grid.color")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches, that pyplot does not know: nobody has to close it."""
    return Figure(figsize=(width, height), layout="constrained")


def save_picture(draw: Callable[[Theme], Figure], folder: Path, name: str) -> list[Path]:
    """Writes `name.png` for light pages and `name_dark.png` for dark ones into `folder`; returns the two files."""
    paths = []
    for theme in (LIGHT, DARK):
        colors = dict.fromkeys(BACKGROUNDS, theme.background) | dict.fromkeys(TEXTS, theme.text)
        colors |= dict.fromkeys(GRIDS, theme.grid)
        with rc_context(SETTINGS | colors), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the report names the font that is missing
            figure = draw(theme)
            use_fonts(figure)
            paths.append(folder / f"{name}{theme.suffix}.png")
            with open_whole(paths[-1], "wb") as file:
                # Without a time or a version, so that equal pictures are equal files.
                figure.savefig(file, format="png", metadata={"Software": None})
    return paths
