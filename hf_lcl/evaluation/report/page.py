"""The page itself: sections to one HTML file that needs nothing beside it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment


TEMPLATE = Path(__file__).with_name("page.html")
# Longer tables are folded away.
LONG_TABLE = 15


@dataclass(frozen=True)
class Section:
    """
    One heading of the page.

    Args:
        title (`str`): the heading.
        text (`str`, *optional*): what there is to see, or why there is nothing.
        picture (`str`, *optional*): name of the picture without `.png`.
        tables (`dict[str, list[dict]]`, *optional*): caption to rows of equal keys.
        files (`list[str]`, *optional*): names of the files that hold the same as numbers.
    """

    title: str
    text: str = ""
    picture: str | None = None
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


def render_page(title: str, introduction: str, sections: Sequence[Section], folder: Path) -> str:
    """
    The page as HTML, pictures included.

    Args:
        title (`str`): of the page.
        introduction (`str`): the first paragraph.
        sections (`Sequence[Section]`): in order.
        folder (`Path`): where the pictures lie, as [`plots.save_picture`] writes them.

    Returns:
        `str`: no link of it leaves the folder.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cell": _cell, "data_uri": lambda name: _data_uri(folder / name)}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, introduction=introduction, sections=sections, long_table=LONG_TABLE)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
