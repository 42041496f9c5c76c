"""The first section of a report: the classifier beside baselines, its costliest confusions, what to do next."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...support.tables import shortened
from ..advice import advice
from ..confusion import confused_pairs
from ..decisions import is_right, probabilities
from ..intervals import share_interval
from ..summary import FOLDER, read_summary
from .page import LONGEST_TEXT, Section, replace_table
from .sections import Evaluated


CAPTION = "This classifier beside others"
COSTLIEST, EXAMPLES = 3, 3


def headline(test: Evaluated) -> str:
    """The result in a sentence."""
    right, texts = int(is_right(test.predictions, test.references).sum()), len(test.references)
    what = "All labels right" if test.has_several_labels else "Accuracy"
    low, high = share_interval(right, texts)
    return f"{what} {right / texts:.1%} (95 % interval {low:.1%} to {high:.1%}) on {texts:,} {test.split} texts."


def glance(test: Evaluated, facts: Mapping[str, Any]) -> Section:
    """
    The comparison with baselines (see [`beside`]), the costliest confusions with the texts that were misread most
    confidently, and, with one label per text, what to do next.
    """
    several, found = test.has_several_labels, probabilities(test.outputs.logits, test.has_several_labels)
    surest, lists = np.argsort(-found.max(axis=1), kind="stable"), dict[str, list[str]]()
    for pair in confused_pairs(test.references, test.predictions, test.names, top=COSTLIEST):
        rows = surest[test.is_confused(pair.true, pair.predicted)[surest]][:EXAMPLES]
        verb = "missed," if several else "read as"
        heading = f"{pair.true} {verb} {pair.predicted}: {pair.count:,} texts ({pair.share:.0%} of {pair.true})"
        texts = (" ".join(test.texts[row].split()) for row in rows if test.texts)
        lists[heading] = [f"“{shortened(text, LONGEST_TEXT)}”" for text in texts] or ["(texts not given)"]
    if not several:
        lists["What to do next"] = advice(test.references, found, test.names)
    text = "The costliest confusions follow, each with the texts that were misread most confidently."
    return Section("At a glance", text, tables={CAPTION: beside(facts)}, lists=lists)


def beside(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the comparison, from [`read_summary`]: each accuracy with its interval and number of texts."""
    texts, metric = facts["rows"], "accuracy" if "accuracy" in facts["metrics"] else "subset_accuracy"
    accuracies = {"this one": facts["metrics"][metric]}
    if metric == "accuracy":
        most = max(facts["per_class"], key=lambda row: row["support"])
        accuracies[f"always {most['label']}, the most frequent class"] = most["support"] / texts
    accuracies |= {name: found["metrics"][metric] for name, found in facts.get("baselines", {}).items()}
    intervals = {name: share_interval(round(accuracy * texts), texts) for name, accuracy in accuracies.items()}
    return [
        {
            "classifier": name,
            metric.replace("subset_accuracy", "all labels right"): f"{accuracy:.1%}",
            "95 % interval": "{:.1%} to {:.1%}".format(*intervals[name]),
            "texts": f"{texts:,}",
        }
        for name, accuracy in accuracies.items()
    ]


def refresh_page(output_dir: str | Path) -> None:
    """Updates the comparison on the page in a folder by the `baselines` in its summary."""
    page, facts = Path(output_dir) / FOLDER / "index.html", read_summary(output_dir)
    if facts is not None:
        replace_table(page, CAPTION, beside(facts))
