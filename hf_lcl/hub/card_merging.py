"""A new card over an older one, here or on the Hub, without touching what was written or changed by hand."""

import hashlib
import json
import re
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import logging


# A card without this line was written by hand, or is to be treated as if it were.
GENERATED = (
    "<!-- Written by hf_lcl, which rewrites each part between its marks until you change it. All else is yours: "
    "all, if you remove this line. -->"
)
# The mark of a part holds a digest of what was generated, so that a change by hand can be seen. A part holds no other
# mark: thousands of marks that nobody closed are read in one pass.
PART = re.compile(
    r"<!-- hf_lcl:begin (?P<name>\w+)(?: (?P<digest>[0-9a-f]{8}))? -->"
    r"(?P<content>[^<]*(?:<(?!!-- hf_lcl:)[^<]*)*)"
    r"<!-- hf_lcl:end (?P=name) -->"
)
METADATA = re.compile(r"<!-- hf_lcl:metadata (?P<digest>[0-9a-f]{8}) -->")
# Results are not written by hand.
NEVER_KEPT = ("model-index",)

logger = logging.get_logger(__name__)


def parse_card(text: str, name: str = "README.md") -> ModelCard:
    """
    A card as an object.

    Args:
        text (`str`): the card.
        name (`str`, *optional*, defaults to `"README.md"`): what an error calls it.

    Raises:
        ValueError: if its metadata is no YAML or holds no names and values; one line.
    """
    try:
        return ModelCard(text.replace("\r\n", "\n"), ignore_metadata_errors=True)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 2}" if mark else ""  # counted from 0, below the first ---
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ValueError(f"The metadata of {name}{line} is broken ({reason}): mend the lines between ---.") from error


def sealed(card: ModelCard) -> ModelCard:
    """The card with the digests in its marks."""

    def seal(part: re.Match[str]) -> str:
        name, content = part["name"], part["content"]
        return f"<!-- hf_lcl:begin {name} {_digest(content)} -->{content}<!-- hf_lcl:end {name} -->"

    text = PART.sub(seal, card.text).replace(GENERATED, f"{GENERATED}\n{_metadata_mark(card)}", 1)
    return _card(card.data.to_dict(), text)


def merged(old: str, new: ModelCard, name: str = "README.md") -> str:
    """
    What to write where a card stands already.

    Parts between marks are replaced where nobody changed them since they were generated. Parts that were changed, or
    that the new card does not have, and all text outside of the parts stay; parts that were removed stay away.
    Metadata that was changed stays too, but for the results, and what is new is added to it.

    Args:
        old (`str`): the card that stands there.
        new (`ModelCard`): a rendered one, [`sealed`].
        name (`str`, *optional*, defaults to `"README.md"`): what an error calls `old`.

    Returns:
        `str`: `old`, where that was written by hand.

    Raises:
        ValueError: if the metadata of `old` cannot be read.
    """
    if GENERATED not in old:
        return old
    card = parse_card(old, name)
    parts = {part["name"]: part[0] for part in PART.finditer(new.text)}

    def choose(part: re.Match[str]) -> str:
        is_untouched = part["digest"] == _digest(part["content"])
        return parts.get(part["name"], part[0]) if is_untouched else part[0]

    text = PART.sub(choose, card.text)
    metadata, mark = new.data.to_dict(), METADATA.search(text)
    if mark is not None and mark[0] == _metadata_mark(card):
        text = text.replace(mark[0], _metadata_mark(new), 1)
    else:
        metadata |= {key: value for key, value in card.data.to_dict().items() if key not in NEVER_KEPT}
    return str(_card(metadata, text))


def card_to_publish(old: str, new: str) -> str:
    """
    The card that takes the place of the one on the Hub. What was written there by hand stays.

    Args:
        old (`str`): the card on the Hub.
        new (`str`): the card to publish. One that was written by hand from the first line to the last is published as
            it is.

    Returns:
        `str`

    Raises:
        ValueError: if the metadata of one of them cannot be read.
    """
    if GENERATED not in new or _is_generated(old):
        return new
    standing, card = parse_card(old, "README.md on the Hub"), parse_card(new)
    if not standing.text.strip():
        # The website makes such a card of the licence that was chosen there.
        return str(_card(card.data.to_dict() | standing.data.to_dict(), card.text))
    if _own_words(card.text) not in ("", _own_words(standing.text)):
        logger.warning(
            "The card on the Hub was changed by hand, and so was README.md here: the one on the Hub stays. To replace "
            "it, remove the line `Written by hf_lcl` from README.md."
        )
    return merged(old, card, "README.md on the Hub")


def only_parts(card: ModelCard, names: tuple[str, ...], metadata: dict[str, Any] | None = None) -> ModelCard:
    """Some parts of a card, with other metadata where that is given."""
    parts = [part[0] for part in PART.finditer(card.text) if part["name"] in names]
    text = "\n\n".join([GENERATED, *parts])
    return sealed(_card(card.data.to_dict() if metadata is None else metadata, f"\n{text}"))


def _is_generated(text: str) -> bool:
    """Whether nobody has changed it."""
    if GENERATED not in text:
        return False
    card = parse_card(text, "README.md on the Hub")
    untouched = all(part["digest"] == _digest(part["content"]) for part in PART.finditer(card.text))
    return untouched and _metadata_mark(card) in card.text and not _own_words(card.text)


def _own_words(text: str) -> str:
    """What stands outside of the generated parts."""
    return METADATA.sub("", PART.sub("", text)).replace(GENERATED, "").strip()


def _card(metadata: dict[str, Any], text: str) -> ModelCard:
    return ModelCard(f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n{text.rstrip()}\n")


def _metadata_mark(card: ModelCard) -> str:
    return f"<!-- hf_lcl:metadata {_digest(json.dumps(card.data.to_dict(), sort_keys=True, default=str))} -->"


def _digest(content: str) -> str:
    return hashlib.sha256(content.strip().encode()).hexdigest()[:8]
