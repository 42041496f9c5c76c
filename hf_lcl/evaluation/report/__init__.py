"""One page about a finished classifier: plots, tables and numbers."""

from .writing import write_report


__all__ = ["write_report"]
