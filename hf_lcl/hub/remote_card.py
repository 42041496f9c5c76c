"""A card that stands on the Hub, and the one that is to be published."""

from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import logging

from .card_merging import GENERATED, METADATA, PART, merged


logger = logging.get_logger(__name__)


def card_to_publish(old: str, new: str) -> str:
    """
    The card that takes the place of the one on the Hub. What was written there by hand stays.

    Args:
        old (`str`): the card on the Hub.
        new (`str`): the card to publish. One that was written by hand from the first line to the last is published as
            it is.

    Returns:
        `str`
    """
    if GENERATED not in new or _is_generated(old):
        return new
    standing, card = _parse(old), _parse(new)
    if not standing.text.strip():
        # The website makes such a card of the licence that was chosen there.
        metadata = ModelCardData(**card.data.to_dict() | standing.data.to_dict())
        return f"---\n{metadata.to_yaml()}\n---\n{card.text}"
    if _own_words(new) not in ("", _own_words(old)):
        logger.warning(
            "The card on the Hub was changed by hand, and so was README.md here: the one on the Hub stays. To replace "
            "it, remove the line `Written by hf_lcl` from README.md."
        )
    return merged(old, card)


def _is_generated(card: str) -> bool:
    """Whether nobody has changed it."""
    if GENERATED not in card:
        return False
    # Merged with a card of nothing, what is left was written by hand.
    parts = [f"<!-- hf_lcl:begin {part['name']} --><!-- hf_lcl:end {part['name']} -->" for part in PART.finditer(card)]
    mark = "<!-- hf_lcl:metadata 00000000 -->"
    nothing = "\n".join(["---", "{}", "---", GENERATED, mark, *parts])
    left = _parse(merged(card, ModelCard(nothing))).text
    for generated in (GENERATED, mark, *parts):
        left = left.replace(generated, "", 1)
    return not left.strip()


def _own_words(card: str) -> str:
    """What stands outside of the generated parts."""
    return METADATA.sub("", PART.sub("", _parse(card).text)).replace(GENERATED, "").strip()


def _parse(card: str) -> ModelCard:
    return ModelCard(card.replace("\r\n", "\n"), ignore_metadata_errors=True)
