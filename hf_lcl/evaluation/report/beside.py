"""The first table of a report: this classifier beside the most frequent class and what it was compared with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..intervals import share_interval
from ..summary import FOLDER, read_summary
from .page import replace_table


CAPTION = "This classifier beside others"


def beside(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its rows, from the findings in [`read_summary`]: each accuracy with its interval and number of texts."""
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
    """Puts the `baselines` in the summary of a folder into the page there."""
    page, facts = Path(output_dir) / FOLDER / "index.html", read_summary(output_dir)
    if facts is not None:
        replace_table(page, CAPTION, beside(facts))
