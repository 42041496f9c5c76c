"""The error for a model that a part of the start cannot change."""


class UnsupportedModelError(ValueError):
    """What a part of the start would change is frozen, or is no linear layer."""
