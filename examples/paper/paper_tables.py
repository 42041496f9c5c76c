"""The tables of the later paper: the results of these runs beside the printed ones."""

import json
from collections import defaultdict
from statistics import mean, stdev
from typing import Any

from paper_systems import SYSTEMS
from recipes import recipe_names


# Accuracy in percent, from Tables 1 and 2 and section 4 of "Happy is Farther From Sad Than Joyful".
PRINTED = {
    "RNN": {"system": "rnn", "empathetic_dialogues": 25.0},
    "GRU": {"system": "gru", "empathetic_dialogues": 30.0},
    "BERT-base (ParsiNLU: mBERT)": {
        "system": "ce",
        "empathetic_dialogues": 55.0,
        "goemotions": 60.2,
        "emoint": 85.0,
        "sst5": 52.5,
        "sst2": 93.5,
        "ag_news": 94.5,
        "tsa": 84.2,
        "parsinlu": 76.0,
    },
    "ELECTRA-base": {"system": "ce", "empathetic_dialogues": 56.4, "sst5": 55.6, "sst2": 94.5},
    "ELECTRA-base, SCL": {
        "system": "scl",
        "empathetic_dialogues": 56.8,
        "goemotions": 56.8,
        "emoint": 33.1,
        "sst5": 58.3,
        "sst2": 94.8,
    },
    "ELECTRA-base, LCL (ParsiNLU: mBERT)": {
        "system": "lcl",
        "empathetic_dialogues": 57.7,
        "goemotions": 64.1,
        "emoint": 34.2,
        "sst5": 57.1,
        "sst2": 94.8,
        "ag_news": 94.7,
        "tsa": 85.7,
        "parsinlu": 76.0,
    },
}
EMOTIONS = ("empathetic_dialogues", "goemotions", "goemotions_first", "emoint")


def markdown(runs: list[dict[str, Any]]) -> str:
    """
    A table of the emotion data sets and one of the others, with the printed figures below those of the same system.

    A cell averages all runs that differ only in seed and precision.

    Args:
        runs (`list[dict]`): runs of a [`hf_lcl.evaluation.ledger.Ledger`], as `reproduce_paper.py` writes them.
    """
    others = [name for name in recipe_names() if name not in EMOTIONS]
    tables = [_table(title, list(names), runs) for title, names in (("Emotions", EMOTIONS), ("Other classes", others))]
    note = "Accuracy on the test sets, in percent: mean ± standard deviation over seeds (number of runs)."
    return "\n".join([note, "", *tables])


def _table(title: str, columns: list[str], runs: list[dict[str, Any]]) -> str:
    cells: dict[tuple, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run["settings"]["dataset"] in columns:
            cells[_row(run["settings"])][run["settings"]["dataset"]].append(100 * run["metrics"]["accuracy"])
    columns = [name for name in columns if any(name in row for row in [*cells.values(), *PRINTED.values()])]
    lines = [
        f"## {title}",
        "",
        f"| system | encoder | training texts | training | {' | '.join(columns)} |",
        "|---|---|---|---|" + "---:|" * len(columns),
    ]
    for system in SYSTEMS:
        for key in sorted(key for key in cells if key[0] == system):
            figures = [_figure(cells[key].get(column, [])) for column in columns]
            lines.append(f"| {' | '.join((*key[:4], *figures))} |")
        for label, row in PRINTED.items():
            if row["system"] == system and any(column in row for column in columns):
                figures = [f"*{row[column]:.1f}*" if column in row else "" for column in columns]
                lines.append(f"| {system} | *{label}, as printed* | *all* | | {' | '.join(figures)} |")
    return "\n".join([*lines, ""])


def _row(settings: dict[str, Any]) -> tuple[str, ...]:
    """The four leading columns of a row, and as JSON the remaining settings that identify it."""
    training, limit = settings["training"], settings["max_train_samples"]
    epochs, batch = training["num_train_epochs"], training["per_device_train_batch_size"]
    shown = f"epochs {epochs:g}, rate {training['learning_rate']:g}, batch {batch}"
    rest = {name: value for name, value in settings.items() if name not in ("dataset", "seed")}
    rest["training"] = {name: value for name, value in training.items() if name != "bf16"}
    texts = "all" if limit is None else f"at most {limit:,}"
    return settings["system"], settings["encoder"], texts, shown, json.dumps(rest, sort_keys=True)


def _figure(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread} ({len(values)})"
