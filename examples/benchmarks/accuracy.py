#!/usr/bin/env python
"""
Is a contrastive objective better than common alternatives, and by how much? Runs every system of `study` on each of
its cells: full data sets, the published draws of 5 and 10 texts per class, and 8, 16 or 64 texts per class.

    python examples/benchmarks/accuracy.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --cells "banking77, 10 each" --systems trainer-ce lcl --seeds 0 1 2 --results accuracy.jsonl
    python examples/benchmarks/accuracy.py --encoder ... --results accuracy.jsonl --list    # open runs
    python examples/benchmarks/accuracy.py --encoder ... --results accuracy.jsonl --table   # accuracy.md, accuracy.png

    python examples/benchmarks/accuracy.py --encoder ... --results cost.jsonl --cells "emoint, 64 each" --curves

`--curves` measures the cost of reaching the accuracy of the `Trainer` with cross-entropy. `study.trials.TRIALS`
changes one thing about `lcl` at a time; each runs only if `--systems` names it.

The same rule holds for all systems: settings are fixed beforehand, no system sees validation or test texts, and the
last epoch is tested. All that fine-tune use the cell's epochs, batch size and learning rate. Exceptions: our systems
with a start take 1e-4 everywhere, `lcl-tenth` a tenth of the epochs; `ce-learned`, `lcl-learned`, `lcl-names`,
`lcl-anchors` and `lcl-default` may stop early; sentence-transformers has its own learning rate, and SetFit its own
settings. The penalty of a logistic regression is chosen by cross-validation on the training texts. Only
`trainer-ce-tuned` uses validation texts, to choose its learning rate. Our systems use the class names as texts of
their start; systems whose names end in `-names` use them as further training texts, and the others do not. To choose a
setting, use `--tested_on validation`.

A finished run is one line of the results; a rerun skips it. Several processes may share one file: each run is done by
one of them, in a fresh child process, so that its peak memory can be measured. Needs Linux.
"""

import hashlib
import json
import os
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from copies import COPIES
from environment import check_known, machine, versions
from filelock import FileLock, Timeout
from sklearn.metrics import f1_score
from study.cells import CELLS, Task, load_cell
from study.cost import cost_table
from study.curve import Curve
from study.plot import plot, plot_curves
from study.rivals import RIVALS
from study.runs import add_known_defaults
from study.systems import SYSTEMS
from study.table import markdown, repetitions
from study.trajectory import scores
from study.trials import TRIALS
from tqdm import tqdm
from transformers.utils import logging

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.fingerprint import fingerprint
from hf_lcl.evaluation import expected_calibration_error
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.support.extras import load_extra


ALL_SYSTEMS = {**SYSTEMS, **RIVALS, **TRIALS}


@dataclass
class Settings:
    """Which runs, and on what."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished runs; tables and plot get the same name."})
    encoder_name: str | None = field(
        default=None, metadata={"help": "Its name in the results; defaults to the last part of --encoder."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    cells: list[str] = field(default_factory=lambda: list(CELLS), metadata={"help": "Data and budgets, by name."})
    systems: list[str] = field(default_factory=lambda: [*SYSTEMS, *RIVALS], metadata={"help": "Systems, by name."})
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "One run per seed."})
    tested_on: str = field(default="test", metadata={"help": "test, or validation while settings are chosen."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    bf16: bool = field(default=False, metadata={"help": "Use bfloat16 mixed precision."})
    curves: bool = field(
        default=False,
        metadata={"help": "Record the accuracy on the validation set after each epoch."},
    )
    list: bool = field(default=False, metadata={"help": "Print the runs that are not finished, and run nothing."})
    table: bool = field(default=False, metadata={"help": "Write tables and plot, and run nothing."})

    def __post_init__(self):
        check_known("cells", self.cells, CELLS, shown=repr)
        check_known("systems", self.systems, ALL_SYSTEMS, shown=repr)
        check_known("tested_on", [self.tested_on], ("test", "validation"), shown=repr)
        self.encoder_name = self.encoder_name or Path(self.encoder).name


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    if settings.table:
        write_tables(settings, ledger)
        return
    planned = [
        (cell, system, run)
        for seed in settings.seeds
        for cell in settings.cells
        for system in settings.systems
        if (run := settings_of(settings, cell, system, seed)) not in ledger
    ]
    if settings.list:
        print("\n".join(f"{system} on {cell}, seed {run['seed']}" for cell, system, run in planned))
        return
    for cell, system, run in (progress := tqdm(planned, desc="runs")):
        progress.set_postfix_str(f"{system} on {cell}, seed {run['seed']}")
        run_once(settings, cell, system, run)


def settings_of(settings: Settings, cell: str, system: str, seed: int) -> dict[str, Any]:
    """The settings that identify a run."""
    row = ALL_SYSTEMS[system]
    budget = {} if row.has_own_budget else {"bf16": settings.bf16, "budget": CELLS[cell].budget}
    return {
        "cell": cell,
        "system": system,
        "seed": seed,
        "encoder": settings.encoder_name,
        "tested_on": settings.tested_on,
        "max_seq_length": settings.max_seq_length,
        "options": row.options,
        **budget,
        **({"curves": True} if settings.curves else {}),
    }


def run_once(settings: Settings, cell: str, system: str, run: dict[str, Any]) -> None:
    """Does a run and records it, if no other process is doing or has done it."""
    key = hashlib.sha256((str(settings.results.resolve()) + json.dumps(run, sort_keys=True)).encode()).hexdigest()
    try:
        # The operating system releases the lock even if the process that holds it is killed.
        with FileLock(Path(tempfile.gettempdir()) / f"accuracy-{key[:16]}.lock").acquire(blocking=False):
            ledger = Ledger(settings.results)
            if run not in ledger:
                with COPIES.Pool(1) as pool:
                    ledger.add(run, pool.apply(result, (settings, cell, system, run["seed"])))
    except Timeout:
        return


def result(settings: Settings, cell: str, system: str, seed: int) -> dict[str, Any]:
    """Trains and tests once. To be called in a fresh process, since peak memory never goes down."""
    logging.set_verbosity_error()
    row = ALL_SYSTEMS[system]
    for package in row.packages:
        load_extra(package.replace("-", "_"), extra="bench")
    splits = load_cell(CELLS[cell], settings.data_dir, settings.tested_on, seed)
    validation_labels, labels = (np.array(splits[name]["label"][:]) for name in ("validation", "test"))
    before = psutil.Process().memory_info().rss
    curve = Curve(validation_labels) if settings.curves else None
    task = Task(settings.encoder, CELLS[cell], splits, seed, settings.bf16, settings.max_seq_length, curve)
    start, cpu_start = time.perf_counter(), time.process_time()
    fitted = row.fit(task, **row.options)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    if curve is not None:
        curve.add(lambda: fitted.logits("validation"))
    logits = fitted.logits("test")
    predictions = logits.argmax(axis=1)
    accuracy, likelihood = scores(logits.astype(float), labels)
    read = ("train", "test") if curve is None else ("train", "test", "validation")
    return {
        "metrics": {
            "accuracy": accuracy,
            "macro_f1": round(f1_score(labels, predictions, average="macro"), 4),
            "nll": likelihood,
            "calibration_error": round(expected_calibration_error(logits, labels), 4),
        },
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "peak_bytes": peak,
        "steps": fitted.steps,
        "details": fitted.details,
        **({} if curve is None else {"curve": curve.points}),
        "texts": {name: len(splits[name]) for name in read},
        "fingerprints": {name: fingerprint(splits[name]) for name in read},
        # One bit per text, so that systems can be compared text by text.
        "correct": np.packbits(predictions == labels).tobytes().hex(),
        "load": round(os.getloadavg()[0], 1),
        "machine": machine(),
        "versions": versions(*row.packages),
    }


def write_tables(settings: Settings, ledger: Ledger) -> None:
    """
    Tabulates the runs with these settings, of any seed and precision; of repeated runs, one that ran like those of the
    default: in single precision before others, on a CPU before a GPU, and the latest of these.
    """
    any_precision = {"bf16": None}
    runs: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    repeated = []
    for run in ledger.runs():
        at = run["settings"]
        cell, system, seed = at["cell"], at["system"], at["seed"]
        known = cell in settings.cells and system in settings.systems
        if known and at | any_precision == settings_of(settings, cell, system, seed) | any_precision:
            seeds = runs.setdefault((cell, system), {})
            if seed in seeds:
                repeated.append((seeds[seed], run))
            if seed not in seeds or likeness(run) >= likeness(seeds[seed]):
                seeds[seed] = run
    add_known_defaults(runs)
    page, picture = (cost_table, plot_curves) if settings.curves else (markdown, plot)
    table = page(runs, settings.cells, settings.systems) + repetitions(repeated)
    settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
    picture(runs, settings.cells, settings.systems, settings.results.with_suffix(".png"))
    print(table)


def likeness(run: dict[str, Any]) -> tuple[bool, bool]:
    """How much a run is like those of the default: in single precision, on a CPU."""
    return not run["settings"].get("bf16"), not run["machine"]["device"].startswith("NVIDIA")


if __name__ == "__main__":
    with one_line_errors():
        main()
