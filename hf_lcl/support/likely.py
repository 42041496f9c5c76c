"""Suggestions for misspelt names."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """`"Did you mean NAME? "` with the known name closest to `name`, ignoring case; empty if none is close."""
    by_letters = {one.casefold(): one for one in known}
    found = get_close_matches(name.casefold(), by_letters, n=1)
    return f"Did you mean {prefix}{by_letters[found[0]]}? " if found else ""
