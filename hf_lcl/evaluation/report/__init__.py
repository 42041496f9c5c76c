"""One page about a finished classifier: pictures, tables and numbers."""

from .page import Section, render_page
from .writing import write_report


__all__ = ["Section", "render_page", "write_report"]
