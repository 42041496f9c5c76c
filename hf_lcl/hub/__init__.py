"""What leaves the machine: a standard sequence classifier and its card."""

from .export import save_adapter, save_sequence_classifier
from .model_card import CardFacts, render_card, write_card


__all__ = ["CardFacts", "render_card", "save_adapter", "save_sequence_classifier", "write_card"]
