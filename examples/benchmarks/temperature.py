#!/usr/bin/env python
"""
Is a temperature worth fitting on few validation texts? Trains `lcl-learned` on few texts of each class, fits the
temperature to random samples of held-out texts, as `train FILE` does after training, and evaluates it on others.

    python examples/benchmarks/temperature.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --results temperature.jsonl

Test sets are not used. A finished training is one line of the results; a rerun skips it. The table is printed, and
written beside the results.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from environment import check_known, machine, versions
from sklearn.model_selection import train_test_split
from study.cells import CELLS, Task, draw_cell
from study.systems import SYSTEMS
from study.table import origin, table
from study.trajectory import scores
from tqdm import tqdm
from transformers.utils import logging

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.evaluation import expected_calibration_error, fit_temperature
from hf_lcl.evaluation.ledger import Ledger


SAMPLES = 200  # samples of validation texts of each size
FIGURES = {"nll": "negative log-likelihood", "error": "expected calibration error in percent"}


@dataclass
class Settings:
    """Encoder, data, and numbers of texts."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished trainings; the table gets the same name."})
    encoder_name: str | None = field(
        default=None, metadata={"help": "Its name in the results; defaults to the last part of --encoder."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    cells: list[str] = field(
        default_factory=lambda: [name for name, cell in CELLS.items() if cell.is_few_shot],
        metadata={"help": "Data and budgets, by name."},
    )
    seeds: list[int] = field(default_factory=lambda: [10], metadata={"help": "One draw of training texts per seed."})
    sizes: list[int] = field(
        default_factory=lambda: [5, 10, 20, 50, 100, 200], metadata={"help": "Numbers of validation texts."}
    )
    held_out: int = field(default=2000, metadata={"help": "Held-out texts: half to sample from, half to evaluate on."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})

    def __post_init__(self):
        check_known("cells", self.cells, CELLS, shown=repr)
        self.encoder_name = self.encoder_name or Path(self.encoder).name
        if max(self.sizes) > self.held_out // 2:
            raise ValueError(f"--sizes {max(self.sizes)} is more than half of --held_out {self.held_out}.")


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    logging.set_verbosity_error()
    ledger = Ledger(settings.results)
    planned = [settings_of(settings, cell, seed) for seed in settings.seeds for cell in settings.cells]
    for run in (progress := tqdm([run for run in planned if run not in ledger], desc="trainings")):
        progress.set_postfix_str(f"{run['cell']}, seed {run['seed']}")
        ledger.add(run, result(settings, run))
    page = markdown(settings, [run for run in ledger.runs() if run["settings"] in planned])
    settings.results.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


def settings_of(settings: Settings, cell: str, seed: int) -> dict[str, Any]:
    """The settings that identify a training."""
    names = ("sizes", "held_out", "max_seq_length")
    return {
        "cell": cell,
        "seed": seed,
        "encoder": settings.encoder_name,
        **{name: getattr(settings, name) for name in names},
        "options": SYSTEMS["lcl-learned"].options,
        "budget": CELLS[cell].budget,
    }


def result(settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Trains, and evaluates the temperatures that samples of validation texts give."""
    cell, seed = CELLS[run["cell"]], run["seed"]
    drawn = draw_cell(cell, settings.data_dir, seed, run["held_out"])
    rest = drawn["test"]
    halves = train_test_split(np.arange(len(rest)), test_size=0.5, stratify=rest["label"][:], random_state=seed)
    splits = DatasetDict(train=drawn["train"], validation=rest.select(halves[0]), test=rest.select(halves[1]))
    task = Task(settings.encoder, cell, splits, seed, False, run["max_seq_length"])
    row = SYSTEMS["lcl-learned"]
    fitted = row.fit(task, **row.options)
    logits = {name: fitted.logits(name).astype(float) for name in ("validation", "test")}
    labels = {name: np.array(splits[name]["label"][:]) for name in logits}
    rng = np.random.default_rng(seed)
    samples = {
        size: [rng.choice(len(labels["validation"]), size, replace=False) for _ in range(SAMPLES)]
        for size in run["sizes"]
    }

    def evaluated(temperature: float) -> dict[str, float]:
        accuracy, likelihood = scores(logits["test"] / temperature, labels["test"])
        error = expected_calibration_error(logits["test"], labels["test"], temperature)
        return {"temperature": temperature, "accuracy": accuracy, "nll": likelihood, "error": 100 * error}

    of_sizes = {
        size: [evaluated(fit_temperature(logits["validation"][rows], labels["validation"][rows])) for rows in some]
        for size, some in samples.items()
    }
    before = evaluated(1.0)
    return {
        "before": before,
        "best": evaluated(fit_temperature(logits["test"], labels["test"])),
        "after": {size: summary(before, found) for size, found in of_sizes.items()},
        "steps": fitted.steps,
        "texts": {name: len(split) for name, split in splits.items()},
        "machine": machine(),
        "versions": versions(),
    }


def summary(before: dict[str, float], after: list[dict[str, float]]) -> dict[str, float]:
    """Means over samples of validation texts, and the share of samples whose temperature raises the likelihood."""
    means = {name: float(np.mean([each[name] for each in after])) for name in ("temperature", *FIGURES)}
    return means | {"better": float(np.mean([each["nll"] < before["nll"] for each in after]))}


def markdown(settings: Settings, runs: list[dict[str, Any]]) -> str:
    """The page with all tables."""
    title = "# A temperature from few validation texts"
    if not runs:
        return f"{title}\n\nNo training has finished.\n"
    cells = [cell for cell in settings.cells if any(run["settings"]["cell"] == cell for run in runs)]
    lines = [title, "", _ABOUT.format(samples=SAMPLES), ""]
    sizes = [f"{size} texts" for size in settings.sizes]

    def mean(cell: str, of: Any) -> float:
        return float(np.mean([of(run) for run in runs if run["settings"]["cell"] == cell]))

    for name, meaning in FIGURES.items():

        def figure(cell: str, row: str, name: str = name) -> str:
            if row in ("before", "best"):
                return f"{mean(cell, lambda run: run[row][name]):.2f}"
            size = row.split()[0]
            share = mean(cell, lambda run: run["after"][size]["better"])
            return f"{mean(cell, lambda run: run['after'][size][name]):.2f}" + f" ({share:.0%})" * (name == "nll")

        lines += [f"## {meaning.capitalize()}", "", *table(cells, ["before", *sizes, "best"], figure), ""]
    by_seed: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for run in runs:
        by_seed.setdefault((run["settings"]["cell"], "lcl-learned"), {})[run["settings"]["seed"]] = run
    return "\n".join([*lines, *origin(by_seed)])


_ABOUT = (
    "Held-out texts, after division of the logits by a temperature that was fitted to this many other held-out texts: "
    "means over {samples} samples of them. In brackets: in how many samples the likelihood is better than without. "
    "best: the temperature that fits the evaluated texts."
)


if __name__ == "__main__":
    with one_line_errors():
        main()
