#!/usr/bin/env python
"""
What do the contrastive losses cost? Measures time and memory of a forward and a backward pass of ours and of others',
for growing batch sizes, relative to the three matrix products that any such loss computes.

    OMP_NUM_THREADS=2 python examples/benchmarks/loss.py

All take turns in one process, in an order that changes every round; a ratio is the median over rounds of the ratio to
the bare products in the same round. Other work on the machine slows both down alike, except where one of several
threads has to wait: on a busy machine, measure with `OMP_NUM_THREADS=1`. Memory is the rise of a separate process's
resident size, at its peak, while loss and gradients are computed; on a GPU, what torch allocates.

A contender skips a size if its smaller sizes predict more than `max_seconds` or more memory than is available; ours
and the bare products skip none. Results are saved after each size: a rerun with the same settings on the same machine
resumes after the last one. Needs Linux, and
`pip install pytorch-metric-learning sentence-transformers matplotlib` for all rows.
Prints the table, and writes it to `loss.md`, all samples to `loss.json`, and a plot to `loss.png`.
"""

import json
import os
import random
import re
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import torch
from clocks import CLOCKS, time_of
from environment import machine, versions
from loss_contenders import CONTENDERS, OURS, PRODUCTS, Batch, Contender
from loss_report import GOALS, markdown, plot
from tqdm import tqdm

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments


PRELOADED = ("pytorch_metric_learning.losses", "sentence_transformers.sentence_transformer.losses")


@dataclass
class Settings:
    """Shapes of the batches, and how long to measure."""

    sizes: list[int] = field(
        default_factory=lambda: [32, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768],
        metadata={"help": "Batch sizes, in ascending order."},
    )
    repeats: int = field(default=7, metadata={"help": "Rounds of each size."})
    device: str = field(default="cpu", metadata={"help": "Where to compute: cpu or cuda."})
    dtype: str = field(default="float32", metadata={"help": "Data type of the embeddings and of the bare products."})
    hidden_size: int = field(default=384, metadata={"help": "Width of the embeddings."})
    num_labels: int = field(default=32, metadata={"help": "Number of classes."})
    max_seconds: float = field(default=60, metadata={"help": "Longest time of one pass."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of loss.json, .md and .png."}
    )

    def __post_init__(self):
        if self.sizes != sorted(self.sizes):
            raise ValueError(f"sizes={self.sizes} must grow: a size tells whether the next one is possible.")


def batch_of(size: int, settings: Settings) -> Batch:
    """Random input for the contenders."""
    dtype = getattr(torch, settings.dtype)
    return Batch.random(size, settings.hidden_size, settings.num_labels, settings.device, dtype)


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    # malloc then returns each freed tensor to the system; otherwise peaks depend on how much memory malloc keeps.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    report = {
        "goals": GOALS,
        "settings": {name: value for name, value in vars(settings).items() if name != "output_dir"},
        "machine": machine(),
        "versions": versions("pytorch-metric-learning", "sentence-transformers"),
    }
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    path = settings.output_dir / "loss.json"
    rows = report["rows"] = finished_sizes(path, report)
    # Each measurement forks a server process that has imported everything and computed nothing.
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", *PRELOADED])
    sizes = [size for size in settings.sizes if size not in rows[PRODUCTS]]
    with context.Pool(1, maxtasksperchild=1) if sizes else nullcontext() as pool:
        for size in sizes:
            able = []
            for name in CONTENDERS:
                if reason := reason_to_skip(name, size, rows[name], settings):
                    print(f"{name} is left out at {size}: {reason}")
                    rows[name][size] = {"skipped": reason}
                else:
                    able.append(name)
            peaks = pool.starmap(peak_bytes, [(name, size, settings) for name in able], chunksize=1)
            for (name, taken), peak in zip(durations(able, size, settings).items(), peaks):
                rows[name][size] = {"peak_bytes": peak, **taken}
            path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    table = markdown(report)
    (settings.output_dir / "loss.md").write_text(table, encoding="utf-8")
    plot(report, settings.output_dir / "loss.png")
    print(table)


def finished_sizes(path: Path, report: dict[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    """The results of an earlier run with the same settings, by contender and size."""
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if any(earlier.get(name) != report[name] for name in ("settings", "machine", "versions")):
        return {name: {} for name in CONTENDERS}
    return {name: {int(size): cell for size, cell in earlier["rows"][name].items()} for name in CONTENDERS}


def reason_to_skip(name: str, size: int, measured: dict[int, dict[str, Any]], settings: Settings) -> str | None:
    """Why a contender skips a size; `None` if it does not."""
    contender = CONTENDERS[name]
    if contender.package and not find_spec(contender.package):
        return f"{contender.package} is not installed"
    if not measured or name in (PRODUCTS, OURS):
        return None
    previous, row = list(measured.items())[-1]
    if "skipped" in row:
        return row["skipped"]
    seconds = row["seconds"] * (size / previous) ** 2
    if seconds > settings.max_seconds:
        return f"one pass would take about {seconds:.0f} s"
    needed = row["peak_bytes"] * (size / previous) ** contender.memory_growth
    available = (
        psutil.virtual_memory().available if settings.device == "cpu" else torch.cuda.mem_get_info(settings.device)[0]
    )
    if needed > 0.7 * available:
        return f"it would need about {needed / 2**30:.0f} GiB of memory"
    return None


def run(contender: Contender, batch: Batch) -> None:
    """One forward and backward pass."""
    batch.embeddings.grad = batch.weighting_logits.grad = None
    loss = contender.function(batch)
    if loss is not None:
        loss.backward()
    if batch.embeddings.is_cuda:
        torch.cuda.synchronize()


def run_often(contender: Contender, batch: Batch, times: int) -> None:
    for _ in range(times):
        run(contender, batch)


def peak_bytes(name: str, size: int, settings: Settings) -> int:
    """Peak memory of a pass beyond its input. To be called in a fresh process."""
    run(CONTENDERS[name], batch_of(64, settings))  # warm-up: loads libraries, starts threads
    batch = batch_of(size, settings)
    if settings.device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run(CONTENDERS[name], batch)
        return torch.cuda.max_memory_allocated() - before
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    run(CONTENDERS[name], batch)
    return resident("VmHWM") - before


def resident(entry: str) -> int:
    """Resident bytes of this process: now (`VmRSS`) or at the peak (`VmHWM`)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{entry}:\s+(\d+) kB", status).group(1)) * 1024


def durations(names: list[str], size: int, settings: Settings) -> dict[str, dict[str, Any]]:
    """Seconds of a pass of each contender, and ratios to the bare products in the same round."""
    batch = batch_of(size, settings)
    calls = {}
    for name in names:
        start = time.perf_counter()
        run(CONTENDERS[name], batch)
        # Enough passes for the resolution of the clocks.
        calls[name] = 1 + int(0.1 / (time.perf_counter() - start))
    samples = {name: {clock: [] for clock in CLOCKS} for name in names}
    order = list(names)
    for _ in tqdm(range(settings.repeats), desc=f"{size} texts"):
        random.shuffle(order)
        for name in order:
            for clock, seconds in time_of(partial(run_often, CONTENDERS[name], batch, calls[name])).items():
                samples[name][clock].append(seconds / calls[name])
    return {name: summary(taken, samples[PRODUCTS]) for name, taken in samples.items()}


def summary(taken: dict[str, list[float]], products: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the seconds and of the ratios."""
    ratios = {
        f"{clock}_ratio": statistics.median(mine / bare for mine, bare in zip(taken[clock], products[clock]))
        for clock in CLOCKS
    }
    return {**{clock: statistics.median(taken[clock]) for clock in CLOCKS}, **ratios, "samples": taken}


if __name__ == "__main__":
    with one_line_errors():
        main()
