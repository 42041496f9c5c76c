"""Architectures with a sequence classifier in transformers that cannot be wrapped, and why."""

CANNOT_BE_WRAPPED: dict[str, str] = {
    "layoutlmv2": (
        "its classifier reads the picture of a page beside every text, through a network of the detectron2 package. "
        "LayoutLM, LayoutLMv3 and LiLT also take texts alone"
    ),
}


def check_architecture(model_type: str) -> None:
    """
    Refuses an architecture that cannot be wrapped; its configuration is enough to know.

    Args:
        model_type (`str`): `config.model_type` of a sequence classifier.

    Raises:
        ValueError: with the reason.

    Example:

    ```python
    >>> from hf_lcl.model.architectures import check_architecture

    >>> check_architecture("electra")
    ```
    """
    if model_type in CANNOT_BE_WRAPPED:
        raise ValueError(f"{model_type} cannot be used: {CANNOT_BE_WRAPPED[model_type]}.")
