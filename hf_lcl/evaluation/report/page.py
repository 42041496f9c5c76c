"""From sections to one HTML file that needs no other."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment


TEMPLATE = Path(__file__).with_name("page.html")
# Longer tables are folded.
LONGEST_OPEN_TABLE = 15


@dataclass(frozen=True)
class Section:
    """One heading of the page."""

    title: str
    text: str = ""
    picture: str | None = None  # its name without .png
    files: Sequence[str] = ()  # names of those that hold the same as numbers
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # caption to rows of equal keys


def render_page(title: str, introduction: str, sections: Sequence[Section], folder: Path) -> str:
    """The page as HTML. It holds the pictures, which [`plots.save_picture`] has written into `folder`."""

    def data_uri(name: str) -> str:
        return f"data:image/png;base64,{base64.b64encode((folder / name).read_bytes()).decode()}"

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = data_uri
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, introduction=introduction, sections=sections, long_table=LONGEST_OPEN_TABLE)
