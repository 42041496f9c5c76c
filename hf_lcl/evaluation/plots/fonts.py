"""Fonts that have the letters of class names, in whatever script."""

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from ...support.extras import load_extra


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# One font has the letters of these; of other scripts, each has its own.
CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH")


def use_fonts(figure: "Figure") -> None:
    """Lets all texts of a figure take the letters that matplotlib's own font lacks from other installed fonts."""
    texts = figure.findobj(load_extra("matplotlib.text", extra="plots").Text)
    families, _ = _fonts_for(frozenset("".join(text.get_text() for text in texts)))
    for text in texts:
        text.set_fontfamily(families)


def missing_fonts(text: str) -> list[str]:
    """
    The fonts without which letters are drawn as boxes.

    Args:
        text (`str`): such as all class names.

    Returns:
        `list[str]`: names of free fonts that have them, to be installed; empty where nothing is missing.
    """
    _, missing = _fonts_for(frozenset(text))
    return sorted({_font_of(letter) for letter in missing})


@cache
def _fonts_for(letters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Font families in the order in which they are asked for a letter, and the letters that none of them has."""
    manager = load_extra("matplotlib.font_manager", extra="plots")
    families = ["DejaVu Sans"]
    missing = {ord(letter) for letter in letters if letter.isprintable()}
    missing -= manager.get_font(manager.findfont(families[0])).get_charmap().keys()
    for font in manager.fontManager.ttflist:
        # The last resort of matplotlib has a box for every letter.
        if not missing or font.name.startswith("Last Resort"):
            continue
        found = missing & manager.get_font(font.fname).get_charmap().keys()
        if found:
            families.append(font.name)
            missing -= found
    return families, frozenset(map(chr, missing))


def _font_of(letter: str) -> str:
    script = unicodedata.name(letter, "UNICODE").split()[0].split("-")[0]
    if unicodedata.category(letter) == "So":
        return "Noto Emoji"
    return "Noto Sans CJK" if script in CJK else f"Noto Sans {script.title()}"
