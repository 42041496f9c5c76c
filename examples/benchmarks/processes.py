#!/usr/bin/env python
"""
How much do several processes send each other in a training step? Counts bytes on the loopback device, to compare them
with the formulas of examples/docs/scaling.md. A separate network namespace excludes all other traffic:

    unshare -n sh -c 'ip link set lo up; OMP_NUM_THREADS=1 python examples/benchmarks/processes.py'

For each number of processes, trains a BERT with random weights in the shape of all-MiniLM-L6-v2. Steps alternate
between three kinds: candidates of the loss from all processes, candidates from the own process only, and the loss of
all processes without a model. Figures are medians over steps. With fewer cores than processes, wall-clock seconds
include waiting for each other; CPU seconds measure the computation.

A finished number of processes is one line of the results; a rerun skips it. Needs Linux.
"""

import os
import random
import socket
import statistics
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from clocks import time_of
from copies import COPIES
from environment import listed, machine, versions
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, set_seed

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    supervised_contrastive_loss,
)
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.training.scaling import gather_candidates


WHOLE, OWN, LOSS = "whole batch", "own texts", "loss of the whole batch alone"


@dataclass
class Settings:
    """Shapes of the model and of the batch of each process."""

    processes: list[int] = field(default_factory=lambda: [1, 2, 3], metadata={"help": "Numbers of processes."})
    layers: int = field(default=6, metadata={"help": "Layers of the encoder."})
    hidden_size: int = field(default=384, metadata={"help": "Width of the encoder, a multiple of 64."})
    vocab_size: int = field(default=30522, metadata={"help": "Rows of the embedding matrix."})
    batch_size: int = field(default=32, metadata={"help": "Texts in a batch of each process."})
    sequence_length: int = field(default=16, metadata={"help": "Tokens of each text."})
    steps: int = field(default=5, metadata={"help": "Measured steps of each kind."})
    results: Path = field(
        default=Path(__file__).parents[1] / "results" / "processes.jsonl", metadata={"help": "JSON lines of runs."}
    )


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    for count in settings.processes:
        run = {**vars(settings), "processes": count}
        del run["results"]
        if run not in ledger:
            with socket.socket() as free:
                free.bind(("localhost", 0))
                port = free.getsockname()[1]
            with COPIES.Pool(count) as pool:
                taken = pool.starmap(steps, [(settings, rank, count, port) for rank in range(count)], chunksize=1)
            ledger.add(run, {"ranks": taken, "machine": machine(), "versions": versions()})
    table = markdown(ledger.runs())
    settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def steps(settings: Settings, rank: int, count: int, port: int) -> dict[str, Any]:
    """Medians of time and bytes sent, as measured by one of the processes; the bytes are those of all processes."""
    torch.set_num_threads(1)
    where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    if count > 1:
        os.environ |= {name: str(value) for name, value in where.items()}  # as torchrun does
    trainers = {name: make_trainer(settings, name == WHOLE) for name in (WHOLE, OWN)}
    models = {name: trainer.accelerator.prepare(trainer.model) for name, trainer in trainers.items()}
    texts = torch.randint(999, settings.vocab_size, (settings.batch_size, settings.sequence_length))
    batch = {
        "input_ids": texts,
        "attention_mask": torch.ones_like(texts),
        "labels": torch.arange(settings.batch_size) // 2,
    }
    ways = {name: partial(trainer.training_step, models[name], batch) for name, trainer in trainers.items()}
    ways[LOSS] = partial(loss_alone, torch.randn(settings.batch_size, settings.hidden_size), batch["labels"], count)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    order = random.Random(0)  # the same in all processes
    for number in range(settings.steps + 2):
        for name in order.sample([*ways], len(ways)):
            wait(count)
            before = sent_bytes()
            wait(count)
            found = time_of(ways[name])
            wait(count)
            found["sent_bytes"] = sent_bytes() - before
            for trainer in trainers.values():
                trainer.model.zero_grad()
            if number >= 2:  # the first steps set things up
                taken[name].append(found)
    medians = {
        name: {key: statistics.median(step[key] for step in found) for key in found[0]}
        for name, found in taken.items()
    }
    weights = sum(weight.numel() for weight in trainers[WHOLE].model.parameters() if weight.requires_grad)
    return {"ways": medians, "weights": weights}


def loss_alone(embeddings: Tensor, labels: Tensor, count: int) -> None:
    """Forward and backward pass of the loss on given embeddings."""
    rows = embeddings.clone().requires_grad_()
    found = gather_candidates(rows, labels) if count > 1 else None
    candidates = (
        {}
        if found is None
        else {
            "candidate_embeddings": found.embeddings,
            "candidate_labels": found.labels,
            "anchor_positions": found.anchor_positions,
        }
    )
    supervised_contrastive_loss(rows, labels, **candidates).backward()


def make_trainer(settings: Settings, gathers: bool) -> ContrastiveTrainer:
    set_seed(0)
    config = BertConfig(
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.hidden_size // 32,
        intermediate_size=4 * settings.hidden_size,
        num_labels=settings.batch_size // 2,
    )
    args = ContrastiveTrainingArguments(
        tempfile.mkdtemp(), use_cpu=True, report_to="none", gather_across_devices=gathers
    )
    model = LCLForSequenceClassification.from_native(BertForSequenceClassification(config), weighting="head")
    trainer = ContrastiveTrainer(model, args)
    trainer.current_gradient_accumulation_steps = 1  # `train` sets it for each batch
    return trainer


def wait(count: int) -> None:
    if count > 1:
        dist.barrier()


def sent_bytes() -> int:
    """Bytes that all processes on this machine have sent over the loopback device."""
    lines = Path("/proc/net/dev").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[9]) for line in lines if line.split()[0] == "lo:")


def formulas(settings: dict[str, Any], weights: int) -> tuple[float, float]:
    """Bytes that a process sends in a step for the weights and for the loss, by examples/docs/scaling.md."""
    count, batch, width = settings["processes"], settings["batch_size"], settings["hidden_size"]
    return 8 * weights * (count - 1) / count, (12 * batch * width + 8 * batch) * (count - 1)


def markdown(runs: list[dict[str, Any]]) -> str:
    """All runs as a markdown page."""
    at = runs[-1]
    lines = [
        "# Several processes in a step of training",
        "",
        "Megabytes that a process sends in a step, counted on the loopback device, and by the formulas of "
        "[what scales how](../docs/scaling.md). The loss: by itself, with the texts of all processes as "
        f"candidates. {at['settings']['batch_size']} texts of {at['settings']['sequence_length']} tokens in each "
        f"process, embeddings of width {at['settings']['hidden_size']}, {at['ranks'][0]['weights'] / 1e6:.1f} million "
        f"weights; medians of {at['settings']['steps']} steps; the slowest process.",
        f"{at['machine']['device']}, {at['machine']['cpus']} CPUs, shared with other work; {listed(at['versions'])}.",
        "",
        "| processes | weights, MB | formula | loss, MB | formula | step, s | step, processor s "
        "| without the texts of others | the loss by itself |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in sorted(runs, key=lambda run: run["settings"]["processes"]):
        count, first = run["settings"]["processes"], run["ranks"][0]
        own, alone = (first["ways"][name]["sent_bytes"] / count / 1e6 for name in (OWN, LOSS))
        weights, loss = (size / 1e6 for size in formulas(run["settings"], first["weights"]))
        slowest = {
            (name, clock): max(rank["ways"][name][clock] for rank in run["ranks"])
            for name in (WHOLE, OWN, LOSS)
            for clock in ("seconds", "processor_seconds")
        }
        lines.append(
            f"| {count} | {own:.2f} | {weights:.2f} | {alone:.3f} | {loss:.3f} | {slowest[WHOLE, 'seconds']:.2f} "
            f"| {slowest[WHOLE, 'processor_seconds']:.2f} | {slowest[OWN, 'processor_seconds']:.2f} "
            f"| {slowest[LOSS, 'processor_seconds']:.4f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    with one_line_errors():
        main()
