"""A new card over an older one, without touching what was written or changed by hand."""

import hashlib
import json
import re
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import logging


# A card without this line was written by hand, or is to be treated as if it were.
GENERATED = (
    "<!-- Written by hf_lcl, which rewrites each part between its marks until you change it. All else is yours: "
    "all, if you remove this line. -->"
)
# The mark of a part tells what was generated, so that a change by hand can be seen.
PART = re.compile(
    r"<!-- hf_lcl:begin (?P<name>\w+)(?: (?P<digest>[0-9a-f]{8}))? -->(?P<content>.*?)<!-- hf_lcl:end (?P=name) -->",
    re.DOTALL,
)
METADATA = re.compile(r"<!-- hf_lcl:metadata (?P<digest>[0-9a-f]{8}) -->")
# Results are not written by hand.
NEVER_KEPT = ("model-index",)

logger = logging.get_logger(__name__)


def sealed(card: ModelCard) -> ModelCard:
    """The card with the digests in its marks."""

    def seal(part: re.Match) -> str:
        name, content = part["name"], part["content"]
        return f"<!-- hf_lcl:begin {name} {_digest(content)} -->{content}<!-- hf_lcl:end {name} -->"

    metadata = f"<!-- hf_lcl:metadata {_metadata_digest(card)} -->"
    text = PART.sub(seal, card.text).replace(GENERATED, f"{GENERATED}\n{metadata}", 1)
    return _card(card.data.to_dict(), text.rstrip() + "\n")


def merged(old: str, new: ModelCard) -> str:
    """
    What to write where a card stands already.

    Parts between marks are replaced where nobody changed them since they were generated. Parts that were changed, or
    that the new card does not have, and all text outside of the parts stay; parts that were removed stay away.
    Metadata that was changed stays too, but for the results, and what is new is added to it.

    Args:
        old (`str`): the card that stands there.
        new (`ModelCard`): a rendered one, [`sealed`].

    Returns:
        `str`: `old`, where that was written by hand.
    """
    if GENERATED not in old:
        return old
    card = ModelCard(old.replace("\r\n", "\n"), ignore_metadata_errors=True)
    parts = {part["name"]: part[0] for part in PART.finditer(new.text)}

    def choose(part: re.Match) -> str:
        is_untouched = part["digest"] == _digest(part["content"])
        return parts.get(part["name"], part[0]) if is_untouched else part[0]

    text = PART.sub(choose, card.text)
    metadata, mark = new.data.to_dict(), METADATA.search(text)
    if mark is not None and mark["digest"] == _metadata_digest(card):
        text = text.replace(mark[0], METADATA.search(new.text)[0], 1)
    else:
        kept = {name: value for name, value in card.data.to_dict().items() if name not in NEVER_KEPT}
        metadata |= kept
    return str(_card(metadata, text.rstrip() + "\n"))


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


def only_parts(card: ModelCard, names: tuple[str, ...], metadata: dict[str, Any]) -> ModelCard:
    """Some parts of a card, with other metadata: what is to be merged into a card that holds the rest."""
    parts = [part[0] for part in PART.finditer(card.text) if part["name"] in names]
    return sealed(_card(metadata, "\n".join([GENERATED, *parts])))


def _card(metadata: dict[str, Any], text: str) -> ModelCard:
    return ModelCard(f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n{text}")


def _metadata_digest(card: ModelCard) -> str:
    return _digest(json.dumps(card.data.to_dict(), sort_keys=True, default=str))


def _digest(content: str) -> str:
    return hashlib.sha256(content.strip().encode()).hexdigest()[:8]
