#!/usr/bin/env python
"""
Does the memory of `hf-lcl predict` grow with its files, and how much do several processes help? Each run repeats the
texts of a file to a given number of rows, and predicts them with the command.

    OMP_NUM_THREADS=1 python examples/benchmarks/large_files.py --model out --texts texts.jsonl --rows 20000 200000
    OMP_NUM_THREADS=1 python examples/benchmarks/large_files.py --model out --texts texts.jsonl --processes 1 2 3

Memory is the highest peak of any process. Seconds are those of the whole command, including imports; CPU seconds are
summed over all processes. A finished run is one line of the results; a rerun skips it. Needs Linux.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from environment import listed, machine, versions

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.evaluation.ledger import Ledger
from hf_lcl.support.files import read_json


# Runs `predict` and records what it took. The kernel's peak (VmHWM) starts afresh with each new program.
COMMAND = """
import json, os, sys, time
from pathlib import Path
from hf_lcl.commands.predict import main

main(sys.argv[2:])
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
taken = {"peak_bytes": peak, "processor_seconds": time.process_time()}
Path(sys.argv[1], os.environ.get("RANK", "0") + ".json").write_text(json.dumps(taken))
"""


@dataclass
class Settings:
    """The classifier, the texts and the runs: one for each number of rows and number of processes."""

    model: Path = field(metadata={"help": "Folder of a finished classifier, or of its graph."})
    texts: Path = field(metadata={"help": "JSON lines with a text each."})
    model_name: str | None = field(default=None, metadata={"help": "Its name in the results; defaults to its folder."})
    rows: list[int] = field(default_factory=lambda: [2000], metadata={"help": "Rows of the file."})
    processes: list[int] = field(default_factory=lambda: [1], metadata={"help": "Processes that share the rows."})
    suffix: str = field(default=".jsonl", metadata={"help": "File type of both files: .jsonl, .jsonl.gz or .parquet."})
    rounds: int = field(default=1, metadata={"help": "Number of runs of each kind."})
    results: Path = field(
        default=Path(__file__).parents[1] / "results" / "large_files.jsonl", metadata={"help": "JSON lines of runs."}
    )


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    name = settings.model_name or settings.model.name
    for number in range(settings.rounds):
        for rows in settings.rows:
            for processes in settings.processes:
                run = {"model": name, "rows": rows, "processes": processes, "suffix": settings.suffix, "round": number}
                if run not in ledger:
                    ledger.add(run, measured(settings, rows, processes))
    table = markdown(ledger.runs())
    settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def measured(settings: Settings, rows: int, processes: int) -> dict[str, Any]:
    """Runs the command once and measures it."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source, output = (work / f"{name}{settings.suffix}" for name in ("texts", "predictions"))
        write(source, settings.texts, rows)
        (work / "command.py").write_text(COMMAND, encoding="utf-8")
        launcher = [sys.executable]
        if processes > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        flags = ["--text_column_names=text", f"--output_file={output}"]
        begun = time.perf_counter()
        subprocess.run(
            [*launcher, str(work / "command.py"), folder, str(settings.model), str(source), *flags],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        seconds = time.perf_counter() - begun
        if (written := count(output)) != rows:
            raise RuntimeError(f"{written:,} of {rows:,} rows were written.")
        taken = [read_json(work / f"{rank}.json") for rank in range(processes)]
        return {
            "seconds": round(seconds, 1),
            "processor_seconds": [round(each["processor_seconds"], 1) for each in taken],
            "peak_bytes": [each["peak_bytes"] for each in taken],
            "file_bytes": source.stat().st_size,
            "load": round(os.getloadavg()[0], 1),
            "machine": machine(),
            "versions": versions("onnxruntime"),
        }


def write(path: Path, texts: Path, rows: int) -> None:
    """Writes a file of this many rows, numbered by `id`."""
    found = [json.loads(line)["text"] for line in texts.read_text(encoding="utf-8").splitlines()]
    records = ({"id": number, "text": text} for number, text in enumerate(islice(cycle(found), rows)))
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.Table.from_pylist([*records]), path)
        return
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def count(path: Path) -> int:
    """The number of rows of a file of predictions, after checking that their ids are in order."""
    if path.suffix == ".parquet":
        ids = pa.parquet.read_table(path, columns=["id"])["id"].to_pylist()
    else:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            ids = [json.loads(line)["id"] for line in file]
    if ids != [*range(len(ids))]:
        raise RuntimeError("The predictions are in another order than the texts.")
    return len(ids)


def markdown(runs: list[dict[str, Any]]) -> str:
    """All runs as a markdown page."""
    at = runs[0]
    lines = [
        "# Large files and several processes",
        "",
        "`hf-lcl predict`, the whole command with its imports, one thread a process. Memory: the highest peak of a "
        "process. Load: of the machine at the end, which other work shared; seconds by the clock say little then.",
        f"{at['machine']['device']}, {at['machine']['cpus']} CPUs; {listed(at['versions'])}.",
        "",
        "| model | file | MiB | rows | processes | seconds | on the processor, all | peak MiB | load |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in sorted(runs, key=lambda run: [*run["settings"].values()]):
        settings = run["settings"]
        lines.append(
            f"| {settings['model']} | {settings['suffix']} | {run['file_bytes'] / 2**20:.1f} | {settings['rows']:,} "
            f"| {settings['processes']} | {run['seconds']:.0f} | {sum(run['processor_seconds']):.0f} "
            f"| {max(run['peak_bytes']) / 2**20:.0f} | {run['load']:.1f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    with one_line_errors():
        main()
