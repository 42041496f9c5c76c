"""A new card over an older one, without touching what was written or changed by hand."""

import hashlib
import json
import re
from typing import Any

from huggingface_hub import ModelCard, ModelCardData


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
