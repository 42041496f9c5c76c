"""Fonts that have the letters of the class names, in any script."""

import unicodedata
from functools import cache

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.text import Text


# Scripts that share one font; every other script has its own.
CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH")


def use_fonts(artist: Artist) -> None:
    """Sets fallback fonts in all texts of a figure or other artist, for letters that matplotlib's own font lacks."""
    texts = artist.findobj(Text)
    families, _ = _fonts_for(frozenset("".join(text.get_text() for text in texts)))
    for text in texts:
        text.set_fontfamily(families)


def missing_fonts(text: str) -> list[str]:
    """The names of free fonts to install for the letters of `text` that no installed font has."""
    _, missing = _fonts_for(frozenset(text))
    return sorted({_font_of(letter) for letter in missing})


@cache
def _fonts_for(letters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Font families that together have the letters, matplotlib's own first, and the letters that none of them has."""
    families = ["DejaVu Sans"]
    missing = {ord(letter) for letter in letters if letter.isprintable()}
    missing -= font_manager.get_font(font_manager.findfont(families[0])).get_charmap().keys()
    for font in font_manager.fontManager.ttflist:
        # matplotlib's "Last Resort" has a box for every letter.
        if not missing or font.name.startswith("Last Resort"):
            continue
        found = missing & font_manager.get_font(font.fname).get_charmap().keys()
        if found:
            families.append(font.name)
            missing -= found
    return families, frozenset(map(chr, missing))


def _font_of(letter: str) -> str:
    if unicodedata.category(letter) == "So":
        return "Noto Emoji"
    script = unicodedata.name(letter, "UNICODE").split()[0].split("-")[0]
    return "Noto Sans CJK" if script in CJK else f"Noto Sans {script.title()}"
