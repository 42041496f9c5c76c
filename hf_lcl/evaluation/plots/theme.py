"""Saves figures as files in two styles, for light pages and for dark ones."""

import warnings
from collections.abc import Callable
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from ...support.files import open_whole
from .fonts import use_fonts


STYLES = Path(__file__).parent
THEMES = {"": "light", "_dark": "dark"}  # suffix of the file name to its style


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, which is not registered in pyplot and so need not be closed."""
    return Figure(figsize=(width, height), layout="constrained")


def save_picture(draw: Callable[[], Figure], folder: Path, name: str) -> list[Path]:
    """Writes `name.png` for light pages and `name_dark.png` for dark ones into `folder`; returns the two files."""
    paths = []
    for suffix, theme in THEMES.items():
        sheets = [STYLES / "common.mplstyle", STYLES / f"{theme}.mplstyle"]
        with style.context(sheets), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the report names the font that is missing
            figure = draw()
            use_fonts(figure)
            paths.append(folder / f"{name}{suffix}.png")
            with open_whole(paths[-1], "wb") as file:
                # Without a time or a version, so that equal pictures are equal files.
                figure.savefig(file, format="png", metadata={"Software": None})
    return paths
