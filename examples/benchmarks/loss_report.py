"""The cost of the losses, as a page and as a plot."""

from pathlib import Path
from typing import Any

from environment import listed
from loss_contenders import DIRECT, OURS, PRODUCTS


# Ratio to the bare products at these sizes, share of the direct form's memory, and bytes at the largest size.
GOALS = {"time": (1.15, (4096, 8192)), "memory": (0.05, 8192), "bytes": (3 * 2**30, 32768)}
MIB = 2**20


def markdown(report: dict[str, Any]) -> str:
    """The report as a markdown page."""
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
        f"{machine['device']}, {machine['threads']} of {machine['cpus']} CPUs; {listed(report['versions'])}.",
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
    """A line for each goal whose batch size was measured."""
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
    """Plots time and memory by batch size."""
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
