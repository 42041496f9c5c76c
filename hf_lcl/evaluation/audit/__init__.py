"""What embeddings say of a file: labels that look wrong, equal texts, outliers, and what to label next."""

from .embedding import Embedder
from .findings import Findings, look_at


__all__ = ["Embedder", "Findings", "look_at"]
