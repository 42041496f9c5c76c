"""Which classes' labels look like which other's, as a picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure

from .. import plots
from ..relations import class_tree
from .findings import Findings


@contextmanager
def draw_noise(findings: Findings, names: list[str]) -> Iterator[tuple[Path, str | None]]:
    """The folder of the picture while it is there, and its name; `None` where no label was judged."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        if np.isnan(findings.margins).all():
            yield folder, None
            return
        shares = findings.noise(len(names))
        order = class_tree(shares).order

        def plot(theme: plots.Theme) -> Figure:
            figure = plots.plot_confusion_matrix(shares, names, order, theme)
            figure.axes[0].set(xlabel="looks like", ylabel="label given", title="Share of the texts of a class")
            return figure

        plots.save_picture(plot, folder, "noise")
        yield folder, "noise"
