"""Replaces an existing card, here or on the Hub, by a new one. Manual changes to the existing one are kept."""

import hashlib
import json
import re
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import logging

from .contents import CARD


# A card without this line is treated as written by hand. Published cards contain the line: do not change it.
GENERATED = (
    "<!-- Written by hf_lcl, which rewrites each part between its marks until you change it. All else is yours: "
    "all, if you remove this line. -->"
)
ON_HUB = f"{CARD} on the Hub"
# The mark of a part holds a digest of the generated content, which shows whether it was changed. A part contains no
# other mark, so that a text with many unclosed marks is read in linear time.
PART = re.compile(
    r"<!-- hf_lcl:begin (?P<name>\w+)(?: (?P<digest>[0-9a-f]{8}))? -->"
    r"(?P<content>[^<]*(?:<(?!!-- hf_lcl:)[^<]*)*)"
    r"<!-- hf_lcl:end (?P=name) -->"
)
METADATA = re.compile(r"<!-- hf_lcl:metadata [0-9a-f]{8} -->")

logger = logging.get_logger(__name__)


def parse_card(text: str, name: str = CARD) -> ModelCard:
    """
    A card as an object. `name` is used in errors.

    Raises:
        ValueError: if its metadata is not a YAML mapping. The message is one line.
    """
    try:
        return ModelCard(text.replace("\r\n", "\n"), ignore_metadata_errors=True)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 2}" if mark else ""  # mark.line counts from 0 after the first ---
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ValueError(f"The metadata of {name}{line} is broken ({reason}): fix the lines between ---.") from error


def sealed(card: ModelCard) -> ModelCard:
    """The card with the digests in its marks."""

    def seal(part: re.Match[str]) -> str:
        name, content = part["name"], part["content"]
        return f"<!-- hf_lcl:begin {name} {_digest(content)} -->{content}<!-- hf_lcl:end {name} -->"

    text = PART.sub(seal, card.text).replace(GENERATED, f"{GENERATED}\n{_metadata_mark(card)}", 1)
    return _card(card.data.to_dict(), text)


def merged(old: str, new: ModelCard, name: str = CARD) -> str:
    """
    The text of an existing card after an update.

    Parts between marks are replaced if nobody changed them. Changed parts, parts that the new card lacks, and all text
    outside of parts stay. A removed part is not added again. Changed metadata stays, except for the results, and new
    entries are added. A card written by hand stays as it is. `new` is [`sealed`]; `name` names `old` in errors.

    Raises:
        ValueError: if the metadata of `old` cannot be read.
    """
    if GENERATED not in old:
        return old
    card = parse_card(old, name)
    parts = {part["name"]: part[0] for part in PART.finditer(new.text)}
    text = PART.sub(lambda part: parts.get(part["name"], part[0]) if _is_unchanged(part) else part[0], card.text)
    metadata = new.data.to_dict()
    if _metadata_mark(card) in text:
        text = text.replace(_metadata_mark(card), _metadata_mark(new), 1)
    else:
        metadata |= {key: value for key, value in card.data.to_dict().items() if key != "model-index"}
    return str(_card(metadata, text))


def card_to_publish(old: str, new: str) -> str:
    """
    The card that replaces `old` on the Hub when `new` is pushed. Manual changes on the Hub stay; a `new` card that was
    written by hand is published as it is.

    Raises:
        ValueError: if the metadata of one of them cannot be read.
    """
    if GENERATED not in new:
        return new
    card_on_hub = parse_card(old, ON_HUB)
    if GENERATED in old and _is_generated(card_on_hub):
        return new
    card = parse_card(new)
    if not card_on_hub.text.strip():
        # The Hub's website creates such a card when a licence is chosen there.
        return str(_card(card.data.to_dict() | card_on_hub.data.to_dict(), card.text))
    if _own_words(card.text) not in ("", _own_words(card_on_hub.text)):
        logger.warning(
            f"The card on the Hub was changed by hand, and so was {CARD} here: the one on the Hub stays. To replace "
            f"it, remove the line `Written by hf_lcl` from {CARD}."
        )
    return merged(old, card, ON_HUB)


def only_parts(card: ModelCard, names: tuple[str, ...], metadata: dict[str, Any] | None = None) -> ModelCard:
    """Some parts of a card, with other metadata if given."""
    parts = [part[0] for part in PART.finditer(card.text) if part["name"] in names]
    text = "\n\n".join([GENERATED, *parts])
    return sealed(_card(card.data.to_dict() if metadata is None else metadata, f"\n{text}"))


def _is_unchanged(part: re.Match[str]) -> bool:
    return part["digest"] == _digest(part["content"])


def _is_generated(card: ModelCard) -> bool:
    return (
        all(map(_is_unchanged, PART.finditer(card.text)))
        and _metadata_mark(card) in card.text
        and not _own_words(card.text)
    )


def _own_words(text: str) -> str:
    """The text outside of generated parts."""
    return METADATA.sub("", PART.sub("", text)).replace(GENERATED, "").strip()


def _card(metadata: dict[str, Any], text: str) -> ModelCard:
    return ModelCard(f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n{text.rstrip()}\n")


def _metadata_mark(card: ModelCard) -> str:
    return f"<!-- hf_lcl:metadata {_digest(json.dumps(card.data.to_dict(), sort_keys=True, default=str))} -->"


def _digest(content: str) -> str:
    return hashlib.sha256(content.strip().encode()).hexdigest()[:8]
