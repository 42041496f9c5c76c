"""Renders sections as one self-contained HTML file."""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, Template
from matplotlib.figure import Figure

from ...support.files import write_whole
from ..plots.theme import save_picture


# Tables with more rows, and cards beyond this number, are collapsed.
LONGEST_OPEN_TABLE = 15
LONGEST_TEXT = 300  # characters of a quoted text


@dataclass(frozen=True)
class Card:
    """A text, facts about it, and related texts to show below it."""

    text: str
    about: str
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """One section of the page, and the files that are written with it."""

    title: str
    text: str = ""
    pictures: dict[str, Callable[[], Figure]] = field(default_factory=dict)  # name without .png to plotting function
    numbers: dict[str, pd.DataFrame] = field(default_factory=dict)  # name without .csv to content
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # caption to rows of equal keys
    lists: dict[str, list[str]] = field(default_factory=dict)  # heading, or "", to sentences or quoted texts
    cards: Sequence[Card] = ()
    alt: str = ""  # what the pictures show


def render_page(title: str, headline: str, sections: Sequence[Section], folder: Path, footer: str = "") -> str:
    """The page as HTML with embedded pictures; pictures and numbers are also written into `folder`."""
    for section in sections:
        for name, draw in section.pictures.items():
            save_picture(draw, folder, name)
        for name, table in section.numbers.items():
            write_whole(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return _template(folder).render(
        title=title, headline=headline, sections=sections, footer=footer, long_table=LONGEST_OPEN_TABLE
    )


def replace_table(page: Path, caption: str, rows: list[dict[str, Any]]) -> None:
    """Replaces the rows of a table in an existing page."""
    table = str(_template(page.parent).make_module().table(caption, rows))  # type: ignore[attr-defined]
    of_caption = re.compile(rf"<table>\n<caption>{re.escape(caption)}</caption>.*?</table>\n", re.DOTALL)
    write_whole(page, of_caption.sub(lambda _: table, page.read_text(encoding="utf-8"), count=1))


def _template(folder: Path) -> Template:
    def data_uri(name: str) -> str:
        return f"data:image/png;base64,{base64.b64encode((folder / name).read_bytes()).decode()}"

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = data_uri
    return environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
