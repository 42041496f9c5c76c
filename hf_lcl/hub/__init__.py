"""Export and publishing: a standard sequence classifier and its card."""

from .card import CardFacts, render_card, write_card
from .export import save_adapter, save_sequence_classifier
from .push import push_folder, push_model
from .requests import PushError


__all__ = [
    "CardFacts",
    "PushError",
    "push_folder",
    "push_model",
    "render_card",
    "save_adapter",
    "save_sequence_classifier",
    "write_card",
]
