#!/usr/bin/env python
"""
What does a large batch cost? Compares gradient caching (`mini_batch_size`) with plain steps over mini-batches, in
time and memory per text.

    python examples/benchmarks/gradient_cache.py --model_name_or_path sentence-transformers/all-MiniLM-L6-v2

Both trainers take turns in one process: a cached step over the whole batch, then plain steps over each of its
mini-batches, without optimizer updates. The expected ratio is 4/3: one additional forward pass beside a forward and a
backward pass, where a backward pass costs two forward passes. Memory is the peak of a separate process, beyond its
weights; the arrays of the loss (embeddings, logits and their gradients) are counted separately.

Needs Linux. Prints the table, and writes it as `gradient_cache.md` and with every sample as `gradient_cache.json`.
"""

import json
import os
import resource
import statistics
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import torch
from clocks import CLOCKS, time_of
from copies import COPIES
from environment import listed, machine, versions
from torch import Tensor
from tqdm import tqdm
from transformers import AutoConfig, set_seed

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments


# Ratios to a plain step over a mini-batch.
GOALS = {"time": 1.45, "memory": 1.25}
PATHS = ("model_name_or_path", "output_dir")
MIB = 2**20


@dataclass
class Settings:
    """The encoder, the shapes of its batches, and how long to measure."""

    model_name_or_path: str = field(metadata={"help": "Hub id or folder of the encoder."})
    batch_size: int = field(default=1024, metadata={"help": "Texts in a cached batch."})
    mini_batch_size: int = field(default=32, metadata={"help": "Texts in a mini-batch."})
    sequence_length: int = field(default=32, metadata={"help": "Tokens of each text."})
    num_labels: int = field(default=32, metadata={"help": "Number of classes."})
    rounds: int = field(default=3, metadata={"help": "Measured steps over a cached batch."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of the .json and the .md file."}
    )

    def __post_init__(self):
        if self.batch_size % self.mini_batch_size:
            raise ValueError(
                f"batch_size={self.batch_size} is not a multiple of mini_batch_size={self.mini_batch_size}: the texts "
                "of both could not be compared."
            )


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    # malloc then returns each freed tensor to the system; otherwise peaks depend on how much memory malloc keeps.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    with COPIES.Pool(1, maxtasksperchild=1) as pool:
        plain, cached = pool.starmap(peak_bytes, [(settings, False), (settings, True)], chunksize=1)
    samples = durations(settings)
    ratios = {
        clock: statistics.median(mine / other for mine, other in zip(taken["cached"], taken["plain"]))
        for clock, taken in samples.items()
    }
    arrays = loss_arrays(settings)
    report = {
        "goals": GOALS,
        "settings": {name: value for name, value in vars(settings).items() if name not in PATHS},
        "machine": machine(),
        "versions": versions(),
        "samples": samples,
        "time_ratios": ratios,
        "peak_bytes": {"plain": plain, "cached": cached, "arrays of the loss": arrays},
        "memory_ratio": (cached - arrays) / plain,
    }
    table = markdown(report)
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    (settings.output_dir / "gradient_cache.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (settings.output_dir / "gradient_cache.md").write_text(table, encoding="utf-8")
    print(table)


def make_trainer(settings: Settings, cached: bool) -> ContrastiveTrainer:
    """A trainer of the default objective, ready for `training_step`."""
    set_seed(0)
    model = LCLForSequenceClassification.from_encoder(settings.model_name_or_path, num_labels=settings.num_labels)
    args = ContrastiveTrainingArguments(
        tempfile.gettempdir(),
        per_device_train_batch_size=settings.batch_size if cached else settings.mini_batch_size,
        mini_batch_size=settings.mini_batch_size if cached else None,
        report_to="none",
    )
    trainer = ContrastiveTrainer(model, args)
    trainer.current_gradient_accumulation_steps = 1  # `train` sets it for each batch
    return trainer


def make_batches(settings: Settings) -> list[dict[str, Tensor]]:
    """One batch of random tokens, split into mini-batches, with two texts of each class in a row."""
    shape = (settings.batch_size, settings.sequence_length)
    tokens = AutoConfig.from_pretrained(settings.model_name_or_path).get_text_config().vocab_size
    batch = {
        "input_ids": torch.randint(tokens, shape, generator=torch.Generator().manual_seed(0)),
        "attention_mask": torch.ones(shape, dtype=torch.long),
        "labels": torch.arange(settings.batch_size) // 2 % settings.num_labels,
    }
    parts = {name: tensor.split(settings.mini_batch_size) for name, tensor in batch.items()}
    return [dict(zip(parts, tensors)) for tensors in zip(*parts.values())]


def step(trainer: ContrastiveTrainer, batches: list[dict[str, Tensor]], keep_gradients: bool = False) -> None:
    """Computes the gradient of a whole batch with gradient caching, or of its mini-batches one by one."""
    if trainer.args.mini_batch_size is not None:
        batches = [{name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}]
    for batch in batches:
        trainer.training_step(trainer.model, batch)
    if not keep_gradients:
        trainer.model.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes(settings: Settings, cached: bool) -> int:
    """Peak memory of a step beyond the weights and their gradients. To be called in a fresh process."""
    trainer, batches = make_trainer(settings, cached), make_batches(settings)
    for parameter in trainer.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    on_gpu = torch.cuda.is_available()
    before = torch.cuda.memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    step(trainer, batches if cached else batches[:3], keep_gradients=True)
    if on_gpu:
        return torch.cuda.max_memory_allocated() - before
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def loss_arrays(settings: Settings) -> int:
    """Bytes of the loss's arrays for the whole batch: embeddings and two kinds of logits, each with its gradient."""
    width = make_trainer(settings, cached=False).model.config.text_config.hidden_size
    return 2 * 4 * settings.batch_size * (width + 2 * settings.num_labels)


def durations(settings: Settings) -> dict[str, dict[str, list[float]]]:
    """Seconds for the texts of one whole batch, by clock and kind of step; the two trainers take turns."""
    trainers = {"plain": make_trainer(settings, False), "cached": make_trainer(settings, True)}
    batches = make_batches(settings)
    samples = {clock: {name: [] for name in trainers} for clock in CLOCKS}
    for trainer in trainers.values():
        step(trainer, batches[:2])  # warm-up
    for _ in tqdm(range(settings.rounds), desc="rounds"):
        for name, trainer in trainers.items():
            for clock, seconds in time_of(partial(step, trainer, batches)).items():
                samples[clock][name].append(seconds)
    return samples


def markdown(report: dict) -> str:
    """The report as a markdown page."""
    settings, peaks, seconds = report["settings"], report["peak_bytes"], report["samples"]["seconds"]
    texts, ratios = settings["batch_size"], report["time_ratios"]
    rows = [
        ("plain", settings["mini_batch_size"], [1.0, 1.0, 1.0]),
        ("cached", texts, [*ratios.values(), report["memory_ratio"]]),
    ]
    reached = {"time": ratios["seconds"], "memory": report["memory_ratio"]}
    verdicts = [
        f"{name} at most {limit} times the plain step's: {'reached' if reached[name] <= limit else 'missed'}"
        for name, limit in GOALS.items()
    ]
    return "\n".join(
        [
            "# The cost of gradient caching",
            "",
            f"Label-aware objective, texts of {settings['sequence_length']} tokens, mini-batches of "
            f"{settings['mini_batch_size']}, {settings['num_labels']} classes, float32; medians of "
            f"{settings['rounds']} rounds. The peak is beyond weights and gradients; its ratio leaves out the "
            f"{peaks['arrays of the loss'] / MIB:.1f} MiB of embeddings and logits that any loss over the whole batch "
            "needs.",
            f"{report['machine']['device']}, {report['machine']['threads']} of {report['machine']['cpus']} CPUs; "
            f"{listed(report['versions'])}.",
            "",
            "| step | batch | texts per second | time per text × | processor time per text × | peak MiB | memory × |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(
                f"| {name} | {size} | {texts / statistics.median(seconds[name]):.1f} | {time:.3f} | {processor:.3f} "
                f"| {peaks[name] / MIB:.1f} | {memory:.3f} |"
                for name, size, (time, processor, memory) in rows
            ),
            "",
            f"Goals: {'; '.join(verdicts)}.",
            "",
        ]
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
