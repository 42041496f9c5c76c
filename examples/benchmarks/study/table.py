"""Tables of the finished runs: metrics, gains with confidence intervals, costs, and what was not run."""

from collections.abc import Callable
from functools import cache, partial
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from hf_lcl.evaluation.comparison import paired_test

from .cells import CELLS
from .regret import regret_tables
from .runs import Runs, correct


# Systems that gains are relative to.
REFERENCES = ("trainer-ce", "ce", "lcl", "lcl-learned", "lcl-names", "lcl-anchors", "lcl-default")
FROZEN = "logistic-regression"  # on the frozen encoder
MIB = 2**20


def markdown(runs: Runs, cells: list[str], systems: list[str]) -> str:
    """All tables as a markdown page; cells without any run are only listed."""
    started = _started(runs, cells, systems)
    rows = [system for system in systems if any((cell, system) in runs for cell in started)]
    groups = {
        "few texts of each class": [cell for cell in started if CELLS[cell].is_few_shot],
        "all texts": [cell for cell in started if not CELLS[cell].is_few_shot],
    }
    measures = [
        ("Accuracy", _ABOUT_METRICS, partial(_figure, runs, metric="accuracy")),
        ("Macro F1", _ABOUT_METRICS, partial(_figure, runs, metric="macro_f1")),
        *(
            (f"Accuracy beyond {reference}", _ABOUT_INTERVALS, partial(_gain, runs, reference=reference))
            for reference in REFERENCES
            if reference in rows
        ),
        ("Likelihood and calibration", _ABOUT_LIKELIHOOD, partial(_likelihood, runs)),
        *([("Learned and forgotten", _ABOUT_LEARNING, partial(_learning, runs))] if FROZEN in rows else []),
    ]
    measured_on = sorted({run["settings"]["tested_on"] for seeds in runs.values() for run in seeds.values()})
    is_choice = measured_on == ["validation"]  # settings are chosen there, by one change at a time
    lines = ["# What does one change do?" if is_choice else "# What fine-tunes best, and by how much?", ""]
    lines += [f"Measured on the {name} texts." for name in measured_on] + [""]
    for title, about, figure in measures:
        for group, names in groups.items():
            known = cache(figure)
            if any(known(cell, system) for cell in names for system in rows):
                lines += [f"## {title}, {group}", "", about, "", *table(names, rows, known), ""]
        if title == "Accuracy":
            lines += regret_tables(runs, groups["few texts of each class"])
    for machine in sorted({machine_of(run) for seeds in runs.values() for run in seeds.values()}):
        for group, names in groups.items():
            lines += _costs(runs, names, rows, machine, f"## Cost on {machine}, {group}")
    return "\n".join([*lines, *_budgets(started), *_not_run(runs, cells, systems), *origin(runs)])


def _started(runs: Runs, cells: list[str], systems: list[str]) -> list[str]:
    return [cell for cell in cells if any((cell, system) in runs for system in systems)]


_ABOUT_METRICS = "Percent: mean ± standard deviation over seeds (number of seeds)."
_ABOUT_INTERVALS = (
    "Points over the seeds that both ran with, and their 95 % interval over other texts of that kind (paired "
    "bootstrap; bold where it does not hold 0); p over seeds, where there are several (paired t-test)."
)
_ABOUT_LIKELIHOOD = (
    "Negative log-likelihood of the test texts and expected calibration error in percent, both better if lower: means "
    "over the seeds that recorded them (number of seeds)."
)
_ABOUT_LEARNING = (
    "Percent of the test texts that a system has right and logistic regression on the frozen encoder has wrong, and "
    "the other way round: mean over the seeds that both ran with."
)
_ABOUT_COST = (
    "Seconds from texts to a finished classifier, and MiB that the process grew by on the way (on a GPU: that it took "
    "of the GPU's memory): medians over the seeds that ran there. In brackets: seconds that all threads of the "
    "process worked, where the run counted them; on a CPU, what else the machine did does not count."
)


def table(cells: list[str], systems: list[str], figure: Callable[[str, str], str]) -> list[str]:
    """A table with a row for each system and a column for each cell."""
    lines = [f"| | {' | '.join(cells)} |", "|---|" + "---:|" * len(cells)]
    return lines + [f"| {system} | {' | '.join(figure(cell, system) for cell in cells)} |" for system in systems]


def _figure(runs: Runs, cell: str, system: str, metric: str) -> str:
    values = [100 * run["metrics"][metric] for run in runs.get((cell, system), {}).values()]
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread} ({len(values)})" if values else ""


def _gain(runs: Runs, cell: str, system: str, reference: str) -> str:
    mine, others = runs.get((cell, system), {}), runs.get((cell, reference), {})
    seeds = sorted(mine.keys() & others.keys())
    if not seeds:
        return ""
    found = paired_test(*(np.stack([correct(each[seed]) for seed in seeds]) for each in (mine, others)))
    difference, low, high = (100 * value for value in (found.difference, found.low, found.high))
    text = f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]"
    text = f"**{text}**" if low > 0 or high < 0 else text
    return text if found.p_seeds is None else f"{text} p = {found.p_seeds:.2f}"


def _likelihood(runs: Runs, cell: str, system: str) -> str:
    found = [run["metrics"] for run in runs.get((cell, system), {}).values() if "nll" in run["metrics"]]
    if not found:
        return ""
    nll, error = (mean(metrics[name] for metrics in found) for name in ("nll", "calibration_error"))
    return f"{nll:.2f}, {100 * error:.1f} ({len(found)})"


def _learning(runs: Runs, cell: str, system: str) -> str:
    mine, frozen = runs.get((cell, system), {}), runs.get((cell, FROZEN), {})
    changes = [correct(mine[seed]) - correct(frozen[seed]) for seed in mine.keys() & frozen.keys()]
    if not changes or system == FROZEN:
        return ""
    learned, forgotten = (100 * mean(float((sign * change > 0).mean()) for change in changes) for sign in (1, -1))
    return f"+{learned:.1f} -{forgotten:.1f}"


def _costs(runs: Runs, cells: list[str], systems: list[str], machine: str, title: str) -> list[str]:
    """A table of the costs on a machine; empty if nothing ran there."""
    cells = [cell for cell in cells if any(timed_runs(runs, cell, system, machine) for system in systems)]
    systems = [system for system in systems if any(timed_runs(runs, cell, system, machine) for cell in cells)]
    if not cells:
        return []
    return [title, "", _ABOUT_COST, "", *table(cells, systems, partial(_cost, runs, machine=machine)), ""]


def _cost(runs: Runs, cell: str, system: str, machine: str) -> str:
    timed = timed_runs(runs, cell, system, machine)
    if not timed:
        return ""
    seconds, peak = (median(run[name] for run in timed) for name in ("seconds", "peak_bytes"))
    of_cpu = [run["cpu_seconds"] for run in timed if "cpu_seconds" in run]
    worked = f" ({median(of_cpu):.0f})" if of_cpu else ""
    return f"{seconds:.0f} s{worked}, {peak / MIB:.0f} MiB"


def timed_runs(runs: Runs, cell: str, system: str, machine: str) -> list[dict[str, Any]]:
    """The runs on that machine, whose times can be compared with those of other systems."""
    return [run for run in runs.get((cell, system), {}).values() if machine_of(run) == machine]


def machine_of(run: dict[str, Any]) -> str:
    """Device and precision of a run, on which its time depends."""
    return f"{run['machine']['device']} in {_precision(run)}"


def _precision(run: dict[str, Any]) -> str:
    return "bfloat16" if run["settings"].get("bf16") else "float32"


def _budgets(cells: list[str]) -> list[str]:
    lines = ["## Budgets", "", "| cell | epochs | batch | learning rate |", "|---|---:|---:|---:|"]
    for name in cells:
        cell = CELLS[name]
        lines.append(f"| {name} | {cell.epochs} | {cell.batch_size} | {cell.learning_rate:g} |")
    return [*lines, ""]


def _not_run(runs: Runs, cells: list[str], systems: list[str]) -> list[str]:
    started = _started(runs, cells, systems)
    missing = {"by no system": [cell for cell in cells if cell not in started]}
    missing |= {f"by {system}": [cell for cell in started if (cell, system) not in runs] for system in systems}
    lines = [
        f"- {name}: {'any of the cells above' if names == started else '; '.join(names)}"
        for name, names in missing.items()
        if names
    ]
    return ["## Not run", "", *(lines or ["Nothing: all systems ran on all cells."]), ""]


def origin(runs: Runs) -> list[str]:
    """All machines, precisions and versions of the runs."""
    finished = [run for seeds in runs.values() for run in seeds.values()]
    lines = ["## Machine and versions", ""]
    for key, name in (("device", "device"), ("threads", "threads")):
        lines.append(f"- {name}: {', '.join(sorted({str(run['machine'][key]) for run in finished}))}")
    lines.append(f"- precision: {', '.join(sorted(set(map(_precision, finished))))}")
    packages: dict[str, set[str]] = {}
    for run in finished:
        for package, number in run["versions"].items():
            packages.setdefault(package, set()).add(number)
    return [*lines, *(f"- {package} {', '.join(sorted(numbers))}" for package, numbers in packages.items()), ""]


def repetitions(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """A section on the differences of repeated runs with the same settings and seed; empty if there are none."""
    if not pairs:
        return ""
    differences = [100 * (later["metrics"]["accuracy"] - earlier["metrics"]["accuracy"]) for earlier, later in pairs]
    sizes = [abs(difference) for difference in differences]
    elsewhere = sum(earlier["machine"]["device"] != later["machine"]["device"] for earlier, later in pairs)
    furthest = pairs[sizes.index(max(sizes))][1]["settings"]
    return "\n".join(
        [
            "",
            "## Runs that were repeated",
            "",
            f"{len(pairs)} runs are there a second time, {elsewhere} of them on another device. Beyond the "
            f"first, their accuracy is {mean(differences):+.2f} points on average; without the sign, "
            f"{median(sizes):.2f} in the median and {max(sizes):.1f} at most "
            f"({furthest['system']} on {furthest['cell']}, seed {furthest['seed']}).",
            "",
        ]
    )
