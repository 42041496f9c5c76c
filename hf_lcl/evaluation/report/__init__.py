"""One page about a finished classifier: pictures, tables and numbers, and the command that writes it."""

from .command import ReportArguments, main, write_report
from .page import Section, render_page


__all__ = ["ReportArguments", "Section", "main", "render_page", "write_report"]
