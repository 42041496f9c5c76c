"""What a report opens with: how good the classifier is, what it confuses most, what to do next."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..advice import advice
from ..confusion import confused_pairs
from ..decisions import probabilities
from ..intervals import share_interval
from .beside import CAPTION, beside
from .page import Section
from .sections import Evaluated


COSTLIEST, EXAMPLES, LONGEST_EXAMPLE = 3, 3, 300


def headline(test: Evaluated) -> str:
    """The result in a sentence."""
    right, texts = int(test.is_right.sum()), len(test.references)
    what = "All labels right" if test.has_several_labels else "Accuracy"
    low, high = share_interval(right, texts)
    return f"{what} {right / texts:.1%} (95 % interval {low:.1%} to {high:.1%}) on {texts:,} {test.split} texts."


def glance(test: Evaluated, facts: Mapping[str, Any]) -> Section:
    """
    How good it is beside others (see [`beside`]), the costliest confusions with the texts that were misread most
    confidently, and, where texts have one label, what to do next.
    """
    several, found = test.has_several_labels, probabilities(test.outputs.logits, test.has_several_labels)
    surest, lists = np.argsort(-found.max(axis=1), kind="stable"), dict[str, list[str]]()
    for pair in confused_pairs(test.references, test.predictions, test.names, top=COSTLIEST):
        rows = surest[test.is_confused(pair.true, pair.predicted)[surest]][:EXAMPLES]
        verb = "missed," if several else "read as"
        heading = f"{pair.true} {verb} {pair.predicted}: {pair.count:,} texts ({pair.share:.0%} of {pair.true})"
        lists[heading] = [_shortened(test.texts[row]) for row in rows if test.texts] or ["(texts not given)"]
    if not several:
        lists["What to do next"] = advice(test.references, found, test.names)
    text = "The costliest confusions follow, each with the texts that were misread most confidently."
    return Section("At a glance", text, tables={CAPTION: beside(facts)}, lists=lists)


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return f"“{words}”" if len(words) <= LONGEST_EXAMPLE else f"“{words[:LONGEST_EXAMPLE]} …”"
