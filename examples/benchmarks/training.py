#!/usr/bin/env python
"""
How fast is a training? Measures an epoch over the same texts, with the same encoder and batch size, for each of the
usual ways to train; they take turns within one run.

    python examples/benchmarks/training.py --model_name_or_path sentence-transformers/all-MiniLM-L6-v2 \
        --train_file train.jsonl

- `Trainer`, padded: as transformers' run_classification.py, with every text padded to `max_seq_length`
- `Trainer`: the same, padded to the longest text of each batch
- ours: `ContrastiveTrainer` with cross-entropy, and with the label-aware objective (in fp32, and with bf16 autocast)
- sentence-transformers: its trainer with `BatchAllTripletLoss` (extra `bench`); it trains no classifier
- SetFit: one positive and one negative pair per text, and logistic regression on top (extra `bench`)

A way that is more than five times slower than ours with LCL is measured only by a first quarter of an epoch.

With one thread (`OMP_NUM_THREADS=1`) all figures are CPU time, which does not advance while other processes use the
CPU. The overhead of Python is the time of a step with an encoder of width 8.
Memory is the peak of a separate process per way, beyond what it held before its model was created. Needs Linux. Prints
the table, and writes it to `training.md`, with all samples in `training.json`.
"""

import gc
import json
import os
import random
import resource
import statistics
import time
from itertools import pairwise
from multiprocessing import get_context

import psutil
import torch
from clocks import CLOCKS, time_of
from copies import COPIES
from environment import listed, machine, versions
from tqdm import tqdm
from training_ways import LCL, PADDED, PLAIN, Bench, Settings
from transformers import Trainer, TrainerCallback, set_seed

from hf_lcl import ContrastiveTrainer
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments


# Texts per second of ours with LCL, as ratios to the others.
GOALS = {PADDED: 2.5, PLAIN: 1.0}
STARTUP_GOAL = 12
# Multiple of our time above which a way is not measured for whole epochs.
TOO_SLOW = 5
MIB = 2**20


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    # malloc then returns each freed tensor to the system; otherwise peaks depend on how much memory malloc keeps.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    bench = Bench(settings)
    names = list(bench.ways)
    with COPIES.Pool(1, maxtasksperchild=1) as pool:
        quarters = dict(
            zip(names, pool.starmap(quarter_of_an_epoch, [(settings, name) for name in names], chunksize=1))
        )
        overheads = pool.apply(overhead_per_step, (settings,))
    started = time.time()
    with get_context("spawn").Pool(1) as pool:
        startup = pool.apply(startup_seconds, (settings, started))
    texts = len(bench.splits["train"])
    limit = TOO_SLOW * quarters[LCL]["processor_seconds"]
    slow = [name for name in names if quarters[name]["processor_seconds"] > limit]
    samples = {
        name: {clock: [4 * quarters[name][clock]] * settings.rounds for clock in CLOCKS} for name in slow
    } | epochs(bench, [name for name in names if name not in slow], settings.rounds)
    clock = deciding_clock()
    rows = {
        name: {
            "texts_per_second": texts / statistics.median(samples[name][clock]),
            "ratio_to_lcl": statistics.median(
                other / mine for mine, other in zip(samples[LCL][clock], samples[name][clock], strict=True)
            ),
            "padding": padding_share(bench, name),
            "peak_bytes": quarters[name]["peak_bytes"],
            "quarter_only": name in slow,
            "python_per_step": overheads.get(name),
            "samples": samples[name],
        }
        for name in names
    }
    report = {
        "goals": GOALS,
        "clock": clock,
        "settings": {
            name: value
            for name, value in vars(settings).items()
            if name not in ("model_name_or_path", "train_file", "output_dir")
        },
        "texts": texts,
        "machine": machine(),
        "versions": versions("sentence-transformers", "setfit"),
        "startup": startup,
        "rows": rows,
    }
    table = markdown(report)
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    (settings.output_dir / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (settings.output_dir / "training.md").write_text(table, encoding="utf-8")
    print(table)


def quarter_of_an_epoch(settings: Settings, name: str) -> dict[str, float]:
    """Seconds and peak memory of a quarter of an epoch. To be called in a fresh process, as a peak never goes down."""
    settings = Settings(**vars(settings) | {"texts": settings.texts // 4})
    bench = Bench(settings)
    before = psutil.Process().memory_info().rss
    set_seed(0)
    taken = time_of(bench.ways[name]().train)
    return taken | {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before}


def deciding_clock() -> str:
    """The clock of the table's figures."""
    return "processor_seconds" if torch.get_num_threads() == 1 else "seconds"


class StepTimes(TrainerCallback):
    """Records the time at the end of each step."""

    def __init__(self):
        self.ends: list[float] = []

    def on_step_end(self, *args, **kwargs) -> None:
        self.ends.append(CLOCKS[deciding_clock()]())


def startup_seconds(settings: Settings, started: float) -> dict[str, float]:
    """Seconds from the start of a process to the end of its first step. To be called in a fresh process."""
    trainer = Bench(settings).ways[LCL]()
    trainer.args.max_steps = 1
    trainer.train()
    return {"seconds": time.time() - started, "processor_seconds": time.process_time()}


def overhead_per_step(settings: Settings) -> dict[str, float]:
    """Seconds of a step with a tiny model, which takes next to no time itself."""
    bench, overheads = Bench(settings, tiny=True), {}
    for name, way in bench.ways.items():
        trainer, times = way(), StepTimes()
        trainer.add_callback(times)
        trainer.train()
        overheads[name] = statistics.median(end - start for start, end in pairwise(times.ends))
    return overheads


def epochs(bench: Bench, names: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each epoch, by way and clock; epochs of the same round have the same position in all lists."""
    samples = {name: {clock: [] for clock in CLOCKS} for name in names}
    order = list(names)
    for _ in tqdm(range(rounds), desc="rounds"):
        random.shuffle(order)
        for name in order:
            set_seed(0)
            trainer = bench.ways[name]()
            for clock, seconds in time_of(trainer.train).items():
                samples[name][clock].append(seconds)
            del trainer
            gc.collect()
    return samples


def padding_share(bench: Bench, name: str) -> float | None:
    """Share of padding among the tokens of an epoch; `None` for trainers that tokenize on the fly."""
    trainer = bench.ways[name]()
    if not isinstance(trainer, ContrastiveTrainer) and type(trainer) is not Trainer:
        return None
    tokens = real = 0
    for batch in trainer.get_train_dataloader():
        tokens += batch["attention_mask"].numel()
        real += int(batch["attention_mask"].sum())
    return 1 - real / tokens


def markdown(report: dict) -> str:
    """The report as a markdown page."""
    settings, rows = report["settings"], report["rows"]
    lines = [
        "# The speed of a training",
        "",
        f"One epoch over {report['texts']} texts, batches of {settings['batch_size']}, float32 unless said otherwise; "
        f"rounds: {settings['rounds']}, of which the medians count. The ratio is that of the seconds to those of LCL "
        "in the same round: above 1 LCL is faster.",
        "All by the processor's clock."
        if report["clock"] == "processor_seconds"
        else "All by the wall clock, which other work on the machine slows down.",
        f"{report['machine']['device']}, {report['machine']['threads']} of {report['machine']['cpus']} CPUs; "
        f"{listed(report['versions'])}.",
        "",
        "| way | texts per second | time, × LCL | padding | peak MiB | Python per step, ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        padding = "" if row["padding"] is None else f"{row['padding']:.1%}"
        python = "" if row["python_per_step"] is None else f"{1000 * row['python_per_step']:.1f}"
        extent = " (a quarter of an epoch)" if row["quarter_only"] else ""
        lines.append(
            f"| {name}{extent} | {row['texts_per_second']:.1f} | {row['ratio_to_lcl']:.2f} | {padding} "
            f"| {row['peak_bytes'] / MIB:.0f} | {python} |"
        )
    verdicts = [
        f"{goal} times the texts per second of {name}: {'reached' if rows[name]['ratio_to_lcl'] >= goal else 'missed'}"
        for name, goal in report["goals"].items()
    ]
    startup = report["startup"][report["clock"]]
    verdicts.append(
        f"first step {startup:.1f} s after the start of the process, at most {STARTUP_GOAL} s: "
        f"{'reached' if startup <= STARTUP_GOAL else 'missed'}"
    )
    return "\n".join([*lines, "", f"Goals for LCL: {'; '.join(verdicts)}.", ""])


if __name__ == "__main__":
    with one_line_errors():
        main()
