#!/usr/bin/env python
"""
Which names of classes say more than their texts? Compares the closeness of the names of data sets (see
`hf_lcl.training.names.closeness`) with that of names that say nothing: letters, numbers, and unrelated nouns.

    python examples/benchmarks/class_names.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results class_names.jsonl

The embeddings are those of the frozen encoder, so that a draw takes seconds. Test sets are not used. A finished draw
is one line of the results; a rerun skips it. The table shows these draws for all encoders of the results.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from environment import check_known, listed, machine, versions
from study.cells import CELLS, Task, draw_cell
from study.frozen import frozen_embeddings
from study.systems import tokenized
from tqdm import tqdm
from transformers.utils import logging

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.training.names import CLOSENESS, closeness, words_of_names


NOUNS = ["river", "table", "window", "button", "garden", "engine", "paper", "bottle", "winter", "guitar"]
NOUNS += ["mountain", "ticket", "pencil", "forest", "carpet", "bridge", "ladder", "candle", "market", "pocket"]
DRAWS_OF_NOUNS = 20


@dataclass
class Settings:
    """Encoder and data."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished draws; the table gets the same name."})
    encoder_name: str | None = field(
        default=None, metadata={"help": "Its name in the results; defaults to the last part of --encoder."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    cells: list[str] = field(
        default_factory=lambda: [name for name, cell in CELLS.items() if cell.is_few_shot and "64" not in name],
        metadata={"help": "Training texts, by name."},
    )
    seeds: list[int] = field(default_factory=lambda: [10, 11], metadata={"help": "One draw of texts per seed."})

    def __post_init__(self):
        check_known("cells", self.cells, CELLS, shown=repr)
        self.encoder_name = self.encoder_name or Path(self.encoder).name


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    logging.set_verbosity_error()
    ledger = Ledger(settings.results)
    planned = [
        {"cell": cell, "seed": seed, "encoder": settings.encoder_name, "nouns": DRAWS_OF_NOUNS}
        for cell in settings.cells
        for seed in settings.seeds
    ]
    for run in (progress := tqdm([run for run in planned if run not in ledger], desc="draws")):
        progress.set_postfix_str(f"{run['cell']}, seed {run['seed']}")
        ledger.add(run, result(settings, run))
    # The same draws for all encoders, one encoder after the other.
    runs = sorted(ledger.runs(), key=lambda run: run["settings"]["encoder"])
    encoders = dict.fromkeys(run["settings"]["encoder"] for run in runs)
    wanted = [draw | {"encoder": encoder} for encoder in encoders for draw in planned]
    page = markdown([run for draw in wanted for run in runs if run["settings"] == draw])
    settings.results.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


def result(settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """The closeness of each kind of names."""
    cell, seed = CELLS[run["cell"]], run["seed"]
    splits = DatasetDict(train=draw_cell(cell, settings.data_dir, seed, held_out=1000)["train"])
    task = Task(settings.encoder, cell, splits, seed, bf16=False, max_seq_length=128)
    number, rng = len(task.names), np.random.default_rng(seed)
    kinds = {
        "own": [[*words_of_names(dict(enumerate(task.names))).values()]],
        "letters": [list(string.ascii_uppercase[:number])],
        "numbers": [[f"class {label + 1}" for label in range(number)]],
        "nouns": [rng.permutation(NOUNS)[:number].tolist() for _ in range(DRAWS_OF_NOUNS)],
    }
    kinds = {kind: [names for names in lists if len(names) == number] for kind, lists in kinds.items()}
    words = sorted({name for lists in kinds.values() for names in lists for name in names})
    of_words = dict(zip(words, embedded(task, words, [0] * len(words))))
    labels = splits["train"]["label"][:]
    of_texts = embedded(task, splits["train"]["text"][:], labels)

    def measured(names: Sequence[str]) -> float:
        features = torch.from_numpy(np.stack([*of_texts, *(of_words[name] for name in names)]))
        return closeness(features, torch.tensor([*labels, *range(number)]), number)

    found = {kind: [measured(names) for names in lists] for kind, lists in kinds.items()}
    return {"closeness": found, "classes": number, "machine": machine(), "versions": versions()}


def embedded(task: Task, texts: list[str], labels: list[int]) -> np.ndarray:
    """Embeddings of the frozen encoder `(texts, hidden)`."""
    rows = Dataset.from_dict({"text": texts, "label": labels}, features=task.splits["train"].features)
    tokenizer, tokens = tokenized(replace(task, splits=DatasetDict(train=rows)))
    return frozen_embeddings(task.encoder, tokens, tokenizer)["train"]


def markdown(runs: list[dict[str, Any]]) -> str:
    """The page with the table."""
    lines = ["# Which names of classes say more than their texts?", "", _ABOUT.format(threshold=CLOSENESS), ""]
    lines += ["| encoder | training texts | classes | own names | letters | numbers | nouns | of all these, above |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|---:|"]
    for run in runs:
        found = run["closeness"]
        others = [value for kind in ("letters", "numbers", "nouns") for value in found[kind]]
        above = f"{sum(value >= CLOSENESS for value in others)} of {len(others)}"
        shown = [span(found[kind]) for kind in ("own", "letters", "numbers", "nouns")]
        at = run["settings"]
        row = [at["encoder"], f"{at['cell']}, seed {at['seed']}", str(run["classes"]), *shown, above]
        lines.append(f"| {' | '.join(row)} |")
    last = runs[-1]
    return "\n".join([*lines, "", f"{last['machine']['device']}; {listed(last['versions'])}.", ""])


def span(values: Sequence[float]) -> str:
    """A value, or the lowest and the highest of several."""
    return " to ".join(f"{value:.2f}" for value in sorted({min(values), max(values)})) if values else ""


_ABOUT = (
    "How many times as close names are to the texts of their classes as these are to one another, to the frozen "
    "encoder. At {threshold} or more, batches hold them. Nouns: the lowest and the highest of 20 random choices; only "
    "for up to 20 classes. Letters: up to 26."
)


if __name__ == "__main__":
    with one_line_errors():
        main()
