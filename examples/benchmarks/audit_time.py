"""The time that `hf-lcl audit` takes for a file of real texts with planted label errors, report included."""

import csv
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from clocks import time_of
from study.cells import Cell, load_cell

from hf_lcl.evaluation.audit.embedding import Embedder
from hf_lcl.evaluation.audit.findings import look_at
from hf_lcl.evaluation.audit.page import write_page
from hf_lcl.evaluation.audit.writing import Audit


def time_audit(run: dict[str, Any], encoder: str, data_dir: str | None) -> dict[str, Any]:
    """CPU seconds of the command and of each of its stages, and how many planted errors are listed first."""
    texts, labels, names, wrong = plant(run, data_dir)
    with TemporaryDirectory() as folder:
        file, listed = Path(folder) / "train.csv", Path(folder) / "audit.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            csv.writer(opened).writerows([("text", "label"), *zip(texts, (names[label] for label in labels))])
        command = ["-m", "hf_lcl", "audit", str(file), "--model", encoder, "--output_file", str(listed)]
        seconds = {"the command": seconds_of(*command)}
        with listed.open(encoding="utf-8", newline="") as opened:
            rows = [int(row["line"]) - 2 for row in csv.DictReader(opened)]
        seconds["imports"] = seconds_of("-c", "import hf_lcl.commands.audit, hf_lcl.evaluation.audit.page")
        seconds |= stages(texts, labels, names, encoder, Path(folder))
    first = {str(number): len(wrong & set(rows[:number])) for number in (len(wrong), 2 * len(wrong))}
    return {"processor_seconds": seconds, "found_among_first": first, "cores": len(os.sched_getaffinity(0))}


def plant(run: dict[str, Any], data_dir: str | None) -> tuple[list[str], np.ndarray, list[str], set[int]]:
    """Texts, class ids with some flipped to any other class, class names, and the flipped rows."""
    dataset = load_cell(Cell(run["data"], 1, 1e-4), data_dir, "test", 0)["train"].shuffle(seed=run["seed"])
    dataset = dataset.select(range(run["rows"]))
    rng, names, labels = (
        np.random.default_rng(run["seed"]),
        dataset.features["label"].names,
        np.array(dataset["label"]),
    )
    wrong = rng.choice(run["rows"], run["planted"], replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, len(names), len(wrong))) % len(names)
    return dataset["text"][:], labels, names, set(wrong.tolist())


def seconds_of(*arguments: str) -> float:
    """CPU seconds of a new Python process, summed over its threads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stages(texts: list[str], labels: np.ndarray, names: list[str], encoder: str, folder: Path) -> dict[str, float]:
    """CPU seconds of each stage of the command."""
    made: dict[str, Any] = {}

    def embed() -> None:
        made["embeddings"] = Embedder(encoder)(texts)

    def judge() -> None:
        made["found"] = look_at(made["embeddings"], labels, texts)

    def write() -> None:
        audit = Audit(made["found"], range(2, len(texts) + 2), texts, names)
        audit.write_list(folder / "stages.csv")
        write_page(audit, folder / "stages.html", "train.csv")

    work = {"embeddings": embed, "neighbours and folds": judge, "list and page": write}
    return {name: time_of(of)["processor_seconds"] for name, of in work.items()}


def timed_markdown(runs: list[dict[str, Any]]) -> list[str]:
    """The section of the page on time."""
    first = runs[0]
    settings, counts = first["settings"], list(first["found_among_first"])
    found = [np.mean([run["found_among_first"][number] for run in runs]) for number in counts]
    seconds = {name: np.mean([run["processor_seconds"][name] for run in runs]) for name in first["processor_seconds"]}
    return [
        f"`hf-lcl audit` on {settings['rows']:,} texts of {settings['data']} with {settings['planted']} labels "
        f"flipped to any other class: {found[0]:.1f} of them are among the first {counts[0]} of the list, "
        f"{found[1]:.1f} among the first {counts[1]}. Processor seconds (user and system; "
        f"threads: {first['machine']['threads']}), means of {len(runs)} runs; the stages were taken one by one:",
        "",
        f"| {' | '.join(seconds)} |",
        "|---:" * len(seconds) + "|",
        f"| {' | '.join(f'{value:.1f}' for value in seconds.values())} |",
        "",
    ]
