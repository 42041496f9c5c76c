#!/usr/bin/env python
"""
What do the contrastive losses cost? Forward and backward pass of ours and of others', for batches of growing size, by
the clock and in memory, against the three matrix products that any such loss has to make.

    OMP_NUM_THREADS=2 python examples/benchmarks/loss.py

All stand in one process and take turns, in an order that changes every round; a ratio is the median of those to the
bare products in the same round. What slows the machine down slows both down, unless it keeps one of several threads
waiting: on a machine with other work to do, measure with `OMP_NUM_THREADS=1`. Memory is by how much the resident size
of a process of its own rises at its peak while loss and gradients are computed; on a GPU, what torch allocates.

A size is left out for whom the smaller sizes say that it would take longer than `max_seconds` or more memory than
there is; ours and the bare products never are. What is measured is kept after each size: a rerun with the same
settings, on the same machine, goes on after the last one. Needs Linux, and
`pip install pytorch-metric-learning sentence-transformers matplotlib` for all rows.
Prints the table, and writes it as `loss.md`, with every sample as `loss.json`, and as a picture, `loss.png`.
"""

import json
import os
import random
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from environment import machine, versions
from torch import Tensor
from tqdm import tqdm

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss
from hf_lcl.cli import one_line_errors, parse_arguments


TEMPERATURE = 0.3
CLOCKS = {"seconds": time.perf_counter, "processor_seconds": time.process_time}
# As ratio to the bare products, and as share of the direct form's memory.
GOALS = {"time": (1.15, (4096, 8192)), "memory": (0.05, 8192), "bytes": (3 * 2**30, 32768)}
MIB = 2**20
PRELOADED = ("pytorch_metric_learning.losses", "sentence_transformers.sentence_transformer.losses")


@dataclass
class Settings:
    """Shapes of the batches, and how long to measure."""

    sizes: list[int] = field(
        default_factory=lambda: [32, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768],
        metadata={"help": "Texts in a batch, in growing order."},
    )
    repeats: int = field(default=7, metadata={"help": "Rounds of each size."})
    device: str = field(default="cpu", metadata={"help": "Where to compute: cpu or cuda."})
    dtype: str = field(default="float32", metadata={"help": "Of the embeddings and of the bare products."})
    hidden_size: int = field(default=384, metadata={"help": "Width of the embeddings."})
    num_labels: int = field(default=32, metadata={"help": "Number of classes."})
    max_seconds: float = field(default=60, metadata={"help": "How long one pass may take at most."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of loss.json, .md and .png."}
    )

    def __post_init__(self):
        if self.sizes != sorted(self.sizes):
            raise ValueError(f"sizes={self.sizes} must grow: a size tells whether the next one is possible.")


@dataclass
class Batch:
    """Random embeddings, labels and weighting logits."""

    embeddings: Tensor
    labels: Tensor
    weighting_logits: Tensor

    @classmethod
    def random(cls, size: int, settings: Settings) -> "Batch":
        generator = torch.Generator().manual_seed(0)
        dtype = getattr(torch, settings.dtype)
        embeddings = torch.randn(size, settings.hidden_size, generator=generator).to(settings.device, dtype)
        labels = torch.randint(settings.num_labels, (size,), generator=generator).to(settings.device)
        logits = torch.randn(size, settings.num_labels, generator=generator).to(settings.device, dtype)
        return cls(embeddings.requires_grad_(), labels, logits.requires_grad_())


def three_products(batch: Batch) -> None:
    """Pairs, gradient of the anchors, gradient of the candidates."""
    embeddings = batch.embeddings.detach()
    pairs = embeddings @ embeddings.T
    pairs @ embeddings
    pairs.T @ embeddings


def ours_label_aware(batch: Batch) -> Tensor:
    return label_aware_contrastive_loss(
        batch.embeddings, batch.labels, batch.weighting_logits, temperature=TEMPERATURE
    )


def ours_supervised(batch: Batch) -> Tensor:
    return supervised_contrastive_loss(batch.embeddings, batch.labels, temperature=TEMPERATURE)


def direct_form(batch: Batch) -> Tensor:
    """The label-aware loss as one would write it down: a matrix of all pairs, and autograd."""
    embeddings, labels = F.normalize(batch.embeddings.float(), dim=1), batch.labels
    log_weights = batch.weighting_logits.float().log_softmax(dim=1)
    similarities = embeddings @ embeddings.T / TEMPERATURE
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positives = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    count = positives.sum(dim=1)
    logits = (similarities + log_weights[:, labels]).masked_fill(itself, -torch.inf)
    mean_positive = torch.where(positives, similarities, 0).sum(dim=1) / count.clamp(min=1)
    own_weight = log_weights.gather(1, labels.unsqueeze(1)).squeeze(1).exp()
    losses = torch.where(count > 0, own_weight * (logits.logsumexp(dim=1) - mean_positive), 0)
    return losses.sum() / (count > 0).sum()


def double_loop(batch: Batch) -> Tensor:
    """The label-aware loss as its authors compute it: one pair after the other, in Python."""
    embeddings, labels = F.normalize(batch.embeddings.float(), dim=1), batch.labels.tolist()
    weights = batch.weighting_logits.float().softmax(dim=1)
    losses = []
    for i, label in enumerate(labels):
        denominator, positives = 0.0, []
        for k, other in enumerate(labels):
            if k != i:
                pair = (embeddings[i] @ embeddings[k] / TEMPERATURE).exp()
                denominator = denominator + weights[i, other] * pair
                if other == label:
                    positives.append(pair)
        if positives:
            losses.append(-weights[i, label] * sum((p / denominator).log() for p in positives) / len(positives))
    return torch.stack(losses).mean()


def metric_learning(batch: Batch) -> Tensor:
    from pytorch_metric_learning.losses import SupConLoss

    return SupConLoss(temperature=TEMPERATURE)(batch.embeddings, batch.labels)


def sentence_transformers(name: str, batch: Batch) -> Tensor:
    from sentence_transformers.sentence_transformer import losses

    return getattr(losses, name)(model=None).compute_loss_from_embeddings([batch.embeddings], batch.labels)


@dataclass(frozen=True)
class Contender:
    """
    A loss, or the products that it is compared with.

    Args:
        function (`Callable[[Batch], torch.Tensor]`): computes the loss.
        memory_growth (`int`): the power of the batch size by which its memory grows.
        package (`str`, *optional*): what has to be installed for it.
    """

    function: Callable[[Batch], Tensor | None]
    memory_growth: int = 2
    package: str | None = None


PRODUCTS, OURS, DIRECT = "bare products", "`LCLLoss`", "LCL, direct form"
CONTENDERS = {
    PRODUCTS: Contender(three_products),
    OURS: Contender(ours_label_aware, memory_growth=1),
    "`SupConLoss`": Contender(ours_supervised, memory_growth=1),
    DIRECT: Contender(direct_form),
    "LCL, Python loops": Contender(double_loop),
    "pytorch-metric-learning `SupConLoss`": Contender(metric_learning, package="pytorch_metric_learning"),
    **{
        f"sentence-transformers `{name}`": Contender(
            partial(sentence_transformers, name), memory_growth=growth, package="sentence_transformers"
        )
        for name, growth in (
            ("BatchHardTripletLoss", 2),
            ("BatchHardSoftMarginTripletLoss", 2),
            ("BatchSemiHardTripletLoss", 2),
            ("BatchAllTripletLoss", 3),
        )
    },
}


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    # Every tensor is then given back as soon as it is freed; else peaks vary with what malloc happens to keep.
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
    # A server that has imported everything, and computed nothing, is copied for each measurement.
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", *PRELOADED])
    with context.Pool(1, maxtasksperchild=1) as pool:
        for size in settings.sizes:
            if size in rows[PRODUCTS]:
                continue
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
    """What an earlier run with the same settings has measured, by contender and size."""
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if any(earlier.get(name) != report[name] for name in ("settings", "machine", "versions")):
        return {name: {} for name in CONTENDERS}
    return {name: {int(size): cell for size, cell in earlier["rows"][name].items()} for name in CONTENDERS}


def reason_to_skip(name: str, size: int, measured: dict[int, dict[str, Any]], settings: Settings) -> str | None:
    """Why a contender is left out at a size, if it is."""
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


def peak_bytes(name: str, size: int, settings: Settings) -> int:
    """What a pass takes at its peak beside its input. To be called in a fresh process."""
    run(CONTENDERS[name], Batch.random(64, settings))  # what is loaded or started once
    batch = Batch.random(size, settings)
    if settings.device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run(CONTENDERS[name], batch)
        return torch.cuda.max_memory_allocated() - before
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what it is now
    run(CONTENDERS[name], batch)
    return resident("VmHWM") - before


def resident(entry: str) -> int:
    """Bytes of this process that are in memory: now (`VmRSS`) or at the peak (`VmHWM`)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{entry}:\s+(\d+) kB", status).group(1)) * 1024


def durations(names: list[str], size: int, settings: Settings) -> dict[str, dict[str, Any]]:
    """Seconds of a pass of each contender, and ratios to the products of the same round."""
    batch = Batch.random(size, settings)
    calls = {}
    for name in names:
        start = time.perf_counter()
        run(CONTENDERS[name], batch)
        # Enough of them to be seen by the clocks.
        calls[name] = 1 + int(0.1 / (time.perf_counter() - start))
    samples = {name: {clock: [] for clock in CLOCKS} for name in names}
    order = list(names)
    for _ in tqdm(range(settings.repeats), desc=f"{size} texts"):
        random.shuffle(order)
        for name in order:
            starts = {clock: now() for clock, now in CLOCKS.items()}
            for _ in range(calls[name]):
                run(CONTENDERS[name], batch)
            for clock, now in CLOCKS.items():
                samples[name][clock].append((now() - starts[clock]) / calls[name])
    return {name: summary(taken, samples[PRODUCTS]) for name, taken in samples.items()}


def summary(taken: dict[str, list[float]], products: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the seconds and of the ratios."""
    ratios = {
        f"{clock}_ratio": statistics.median(mine / bare for mine, bare in zip(taken[clock], products[clock]))
        for clock in CLOCKS
    }
    return {**{clock: statistics.median(taken[clock]) for clock in CLOCKS}, **ratios, "samples": taken}


def markdown(report: dict[str, Any]) -> str:
    """The report as a page of its own."""
    settings, machine, rows = report["settings"], report["machine"], report["rows"]
    figures = {
        "Time of a forward and a backward pass, as a ratio to the bare products": ("seconds_ratio", "{:.2f}", 1),
        "The same by the time of the processor": ("processor_seconds_ratio", "{:.2f}", 1),
        "Milliseconds by the clock": ("seconds", "{:.3g}", 1e-3),
        "Peak memory beside the input, in MiB": ("peak_bytes", "{:.0f}", MIB),
    }
    lines = [
        "# The cost of the losses",
        "",
        f"Embeddings of width {settings['hidden_size']}, {settings['num_labels']} classes, {settings['dtype']}; "
        f"medians of {settings['repeats']} rounds.",
        f"{machine['device']}, {machine['threads']} of {machine['cpus']} CPUs; "
        f"{', '.join(f'{name} {number}' for name, number in report['versions'].items())}.",
        "The bare products are the three that any such loss makes of a batch: all pairs, and the gradients of both "
        "sides.",
    ]
    for title, (key, form, unit) in figures.items():
        lines += ["", f"## {title}", "", f"| texts in the batch | {' | '.join(map(str, settings['sizes']))} |"]
        lines.append("|---|" + "---:|" * len(settings["sizes"]))
        for name, row in rows.items():
            cells = [form.format(cell[key] / unit) if key in cell else "-" for cell in row.values()]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    left_out = []
    for name, row in rows.items():
        for size, cell in row.items():
            if "skipped" in cell:
                left_out.append(f"- {name} from {size} texts on: {cell['skipped']}.")
                break
    if left_out:
        lines += ["", "Left out (-):", "", *left_out]
    if reached := verdicts(rows):
        lines += ["", "## Goals of `LCLLoss`", "", *reached]
    return "\n".join([*lines, ""])


def verdicts(rows: dict[str, dict[int, dict[str, Any]]]) -> list[str]:
    """A line for each goal that the measured sizes can tell of."""
    lines = []
    ours, (limit, sizes) = rows[OURS], GOALS["time"]
    for size in sizes:
        if size in ours:
            ratio, of_processor = ours[size]["seconds_ratio"], ours[size]["processor_seconds_ratio"]
            lines.append(
                f"- {size} texts at most {limit} times the products: {ratio:.2f}, {_word(ratio <= limit)} "
                f"({of_processor:.2f} by the time of the processor)."
            )
    share, size = GOALS["memory"]
    if "peak_bytes" in rows[DIRECT].get(size, {}):
        reached = ours[size]["peak_bytes"] / rows[DIRECT][size]["peak_bytes"]
        lines.append(
            f"- {size} texts below {share:.0%} of the direct form's memory: {reached:.1%}, {_word(reached < share)}."
        )
    limit, size = GOALS["bytes"]
    if size in ours:
        reached = ours[size]["peak_bytes"]
        lines.append(
            f"- {size} texts within {limit / 2**30:.0f} GiB: {reached / 2**30:.2f} GiB, {_word(reached <= limit)}."
        )
    return lines


def _word(is_reached: bool) -> str:
    return "reached" if is_reached else "missed"


def plot(report: dict[str, Any], path: Path) -> None:
    """Time and memory over the size of the batch."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5.2), layout="constrained")
    for axis, key, unit, label in (
        (axes[0], "seconds", 1, "seconds, forward and backward"),
        (axes[1], "peak_bytes", MIB, "peak memory, MiB"),
    ):
        for name, row in report["rows"].items():
            points = [
                (size, max(cell[key] / unit, 0.1 if unit == MIB else 0)) for size, cell in row.items() if key in cell
            ]
            if points:
                ours = name in (OURS, "`SupConLoss`")
                style = {"linewidth": 2.5} if ours else {"linestyle": ":" if name == PRODUCTS else "--"}
                axis.loglog(*zip(*points), marker=".", label=name.replace("`", ""), **style)
        axis.set_xlabel("texts in the batch")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    with one_line_errors():
        main()
