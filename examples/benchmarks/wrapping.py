#!/usr/bin/env python
"""
What does wrapping cost? Compares a training step of `ContrastiveTrainer` with one of `transformers.Trainer`, in time
and memory, on a BERT-base with random weights.

    OMP_NUM_THREADS=1 python examples/benchmarks/wrapping.py

All trainers take turns in one process, step by step, in an order that changes every round: other work on the machine
slows all of them down, and affects the median of the ratios within a round less. A time goal is reached or missed if
the 95% confidence interval of that median lies on one side of it, and undecided otherwise. On a busy machine, CPU time
decides sooner than wall-clock time. Memory is the peak of a separate process per trainer. Two exact counts of one step
show that the encoder runs once and that its activations are kept once: floating point operations, and bytes kept for
the backward pass.

Needs Linux. Prints the table, and writes it to `wrapping.md`, with all samples in `wrapping.json`.
"""

import json
import math
import os
import random
import resource
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from clocks import CLOCKS, time_of
from copies import COPIES
from environment import listed, machine, versions
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments


# Objective and weighting of each trainer.
CONTENDERS = {
    "`Trainer`, CE": None,
    "`ContrastiveTrainer`, CE": ("ce", "none"),
    "`ContrastiveTrainer`, SCL": ("scl", "none"),
    "`ContrastiveTrainer`, LCL, head": ("lcl", "head"),
    "`ContrastiveTrainer`, LCL, classifier": ("lcl", "classifier"),
}
PLAIN, DEFAULT = "`Trainer`, CE", "`ContrastiveTrainer`, LCL, head"
# Goals for the default arguments, as ratios to `Trainer`.
GOALS = {"time": 1.05, "memory": 1.03}
MIB = 2**20


@dataclass
class Settings:
    """Shapes of the model and of its batches, and how long to measure; the defaults are BERT-base."""

    layers: int = field(default=12, metadata={"help": "Layers of the encoder."})
    hidden_size: int = field(default=768, metadata={"help": "Width of the encoder, a multiple of 64."})
    vocab_size: int = field(default=30522, metadata={"help": "Rows of the embedding matrix."})
    num_labels: int = field(default=32, metadata={"help": "Number of classes."})
    batch_size: int = field(default=16, metadata={"help": "Texts in a batch, two of each class."})
    sequence_length: int = field(default=64, metadata={"help": "Tokens of each text."})
    warmup: int = field(default=2, metadata={"help": "Steps of each trainer before it is measured."})
    rounds: int = field(default=24, metadata={"help": "Measured steps of each trainer, at least 6."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of wrapping.json and wrapping.md."}
    )

    def __post_init__(self):
        if self.hidden_size < 64 or self.hidden_size % 64:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of 64: the width of an attention head."
            )
        if self.rounds < 6:
            raise ValueError(f"rounds={self.rounds} give no 95% interval of a median: use >= 6.")


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    # malloc then returns each freed tensor to the system; otherwise peaks vary by 2% with the memory that it keeps.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    with COPIES.Pool(1, maxtasksperchild=1) as pool:
        footprints = pool.starmap(footprint, [(name, settings) for name in CONTENDERS], chunksize=1)
    durations = step_durations(settings)

    rows = {}
    for name, taken in zip(CONTENDERS, footprints):
        rows[name] = {
            **{clock: compare(samples[name], samples[PLAIN]) for clock, samples in durations.items()},
            **taken,
            "memory_ratio": taken["peak_bytes"] / footprints[0]["peak_bytes"],
        }
    shapes = {name: value for name, value in asdict(settings).items() if name != "output_dir"}
    report = {"goals": GOALS, "settings": shapes, "machine": machine(), "versions": versions(), "rows": rows}
    table = markdown(report)
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    (settings.output_dir / "wrapping.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (settings.output_dir / "wrapping.md").write_text(table, encoding="utf-8")
    print(table)


def make_trainer(name: str, settings: Settings) -> Trainer:
    """A trainer whose model has random weights, ready for [`step`]."""
    set_seed(0)
    config = BertConfig(
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.hidden_size // 64,
        intermediate_size=4 * settings.hidden_size,
        num_labels=settings.num_labels,
    )
    native = BertForSequenceClassification(config)
    common = {"output_dir": tempfile.gettempdir(), "report_to": "none"}
    if CONTENDERS[name] is None:
        trainer = Trainer(native, TrainingArguments(**common))
    else:
        objective, weighting = CONTENDERS[name]
        model = LCLForSequenceClassification.from_native(native, weighting=weighting)
        trainer = ContrastiveTrainer(model, ContrastiveTrainingArguments(objective=objective, **common))
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1  # `train` sets it for each batch
    return trainer


def make_batch(settings: Settings) -> dict[str, Tensor]:
    """Random tokens, two texts of each class."""
    shape = (settings.batch_size, settings.sequence_length)
    return {
        "input_ids": torch.randint(settings.vocab_size, shape, generator=torch.Generator().manual_seed(0)),
        "attention_mask": torch.ones(shape, dtype=torch.long),
        "labels": torch.arange(settings.batch_size) // 2 % settings.num_labels,
    }


def step(trainer: Trainer, batch: dict[str, Tensor]) -> None:
    """What `Trainer.train` does with a batch: forward, backward, clipping, update."""
    trainer.training_step(trainer.model, batch)
    trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
    trainer.optimizer.step()
    trainer.model.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def footprint(name: str, settings: Settings) -> dict[str, int]:
    """Memory and operations of a step. To be called in a fresh process, since a peak never goes down."""
    before = psutil.Process().memory_info().rss
    trainer, batch = make_trainer(name, settings), make_batch(settings)
    for _ in range(settings.warmup + 1):
        step(trainer, batch)
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    else:
        # Excludes the memory of imported libraries, which would only hide differences.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before

    parameters = {parameter.untyped_storage().data_ptr() for parameter in trainer.model.parameters()}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer.training_step(trainer.model, batch)
    return {"peak_bytes": peak, "kept_bytes": sum(kept.values()), "operations": counter.get_total_flops()}


def step_durations(settings: Settings) -> dict[str, dict[str, list[float]]]:
    """Seconds of each step, by clock and trainer; steps of the same round have the same position in all lists."""
    trainers = {name: make_trainer(name, settings) for name in CONTENDERS}
    batch, order = make_batch(settings), list(CONTENDERS)
    durations = {clock: {name: [] for name in CONTENDERS} for clock in CLOCKS}
    for number in tqdm(range(settings.warmup + settings.rounds), desc="rounds"):
        random.shuffle(order)
        for name in order:
            for clock, seconds in time_of(partial(step, trainers[name], batch)).items():
                if number >= settings.warmup:
                    durations[clock][name].append(seconds)
    return durations


def compare(samples: list[float], plain: list[float]) -> dict[str, Any]:
    """Compares the samples of a trainer with those of `Trainer` in the same rounds."""
    ratios = [mine / other for mine, other in zip(samples, plain)]
    return {
        "median": statistics.median(samples),
        "ratio_median": statistics.median(ratios),
        "ratio_interval": median_interval(ratios),
        "samples": samples,
    }


def median_interval(values: list[float]) -> tuple[float, float]:
    """The 95% confidence interval of a median, by the sign test; needs six values or more."""
    count, outside, tail = len(values), 0, 0.0
    while (tail := tail + math.comb(count, outside) / 2**count) <= 0.025:
        outside += 1
    ordered = sorted(values)
    return ordered[outside - 1], ordered[-outside]


def markdown(report: dict[str, Any]) -> str:
    """The report as a markdown page."""
    settings, machine = report["settings"], report["machine"]
    lines = [
        "# The cost of wrapping",
        "",
        f"One training step of a BERT with random weights ({settings['layers']} layers of width "
        f"{settings['hidden_size']}), {settings['batch_size']} texts of {settings['sequence_length']} tokens, "
        f"{settings['num_labels']} classes, AdamW, float32. Medians of {settings['rounds']} rounds, in brackets their "
        "95% intervals; × is the ratio to `Trainer` in the same round.",
        f"{machine['device']}, {machine['threads']} of {machine['cpus']} CPUs; {listed(report['versions'])}.",
        "",
        "| trainer, objective, weighting | seconds | time × | processor time × | peak MiB | memory × "
        "| kept for backward, MiB | GFLOP |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in report["rows"].items():
        ratios = [
            "{:.3f} ({:.3f} to {:.3f})".format(row[clock]["ratio_median"], *row[clock]["ratio_interval"])
            for clock in CLOCKS
        ]
        lines.append(
            f"| {name} | {row['seconds']['median']:.3f} | {' | '.join(ratios)} | {row['peak_bytes'] / MIB:.1f} "
            f"| {row['memory_ratio']:.3f} | {row['kept_bytes'] / MIB:.1f} | {row['operations'] / 1e9:.3f} |"
        )
    default = report["rows"][DEFAULT]
    on_clock, on_processor = (verdict(default[clock]["ratio_interval"], GOALS["time"]) for clock in CLOCKS)
    verdicts = [
        f"time at most {GOALS['time']} times `Trainer`'s: {on_clock} on the clock, {on_processor} on the processor",
        f"memory at most {GOALS['memory']} times: {verdict([default['memory_ratio']], GOALS['memory'])}",
    ]
    return "\n".join([*lines, "", f"Goals for the default arguments (LCL, head): {'; '.join(verdicts)}.", ""])


def verdict(interval: Sequence[float], limit: float) -> str:
    """Whether a goal is reached, missed or undecided."""
    if max(interval) <= limit:
        return "reached"
    return "missed" if min(interval) > limit else "undecided"


if __name__ == "__main__":
    with one_line_errors():
        main()
