#!/usr/bin/env python
"""
How many texts are classified per CPU second? Compares `hf-lcl predict`, with a classifier and with its int8 graph, to
`transformers.pipeline` with batches of 32, on texts that are not sorted by length.

    OMP_NUM_THREADS=1 python examples/benchmarks/serving.py --model out --texts texts.jsonl --check_file test.jsonl

`out` is a finished classifier; `texts.jsonl` holds a `text` per line, and `test.jsonl` also a `label`. Contenders take
turns, each run in a separate process, from a file of texts to a file of predictions. To exclude imports and loading,
the CPU seconds of a call with the first few texts are subtracted from those of a call with all texts. Memory is the
peak of the process.

Prints the table, and writes it to `serving.md` and `serving.json`.
"""

import csv
import json
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from environment import listed, machine, versions

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments


PIPELINE, TORCH, INT8 = "`transformers.pipeline`, batches of 32", "`hf-lcl predict`", "`hf-lcl predict`, int8"
GOALS = {TORCH: 1.5, INT8: 3.0}
MAX_LENGTH = 128


@dataclass
class Settings:
    """The classifier, and the texts."""

    model: Path = field(metadata={"help": "Folder of a finished classifier."})
    texts: Path = field(metadata={"help": "JSON lines with a text each."})
    check_file: Path = field(metadata={"help": "JSON lines with a text and a label each, to check the export."})
    max_texts: int = field(default=3000, metadata={"help": "Use this many texts from the first on."})
    few: int = field(default=64, metadata={"help": "Texts of the call whose seconds are subtracted."})
    max_drop: float = field(default=0.5, metadata={"help": "The --max_drop of the export."})
    rounds: int = field(default=3, metadata={"help": "Number of runs of each contender."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of serving.json and serving.md."}
    )


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    rows = [json.loads(line) for line in settings.texts.read_text(encoding="utf-8").splitlines()][: settings.max_texts]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, some in (("all", rows), ("few", rows[: settings.few])):
            lines = (json.dumps({"text": row["text"]}) + "\n" for row in some)
            (work / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            pool.apply(export, (settings, work))
            runs: dict[str, list[dict]] = {name: [] for name in (PIPELINE, TORCH, INT8)}
            for _ in range(settings.rounds):
                for name, done in runs.items():
                    done.append(pool.apply(run, (name, settings.model, work)))
        labels = {
            name: [row["label"] for row in csv.DictReader((work / file_of(name)).open(encoding="utf-8"))]
            for name in runs
        }
    counted = len(rows) - settings.few
    found = {name: summarized(done, counted) for name, done in runs.items()}
    for name, row in found.items():
        row["times_pipeline"] = row["texts_per_second"] / found[PIPELINE]["texts_per_second"]
        row["same_label"] = statistics.mean(mine == its for mine, its in zip(labels[name], labels[PIPELINE]))
    report = {
        "goals": GOALS,
        "max_drop": settings.max_drop,
        "texts": {"file": settings.texts.name, "number": len(rows)},
        "machine": machine(),
        "versions": versions("onnxruntime", "tokenizers"),
        "contenders": found,
    }
    table = markdown(report)
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    (settings.output_dir / "serving.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (settings.output_dir / "serving.md").write_text(table, encoding="utf-8")
    print(table)


def file_of(name: str) -> str:
    return {PIPELINE: "pipeline.csv", TORCH: "torch.csv", INT8: "int8.csv"}[name]


def export(settings: Settings, work: Path) -> None:
    from hf_lcl.commands.export import main as export_command

    flags = ["--int8", f"--check_file={settings.check_file}", f"--max_drop={settings.max_drop}"]
    export_command([str(settings.model), str(work / "int8"), "--text_column_names=text", *flags])


def run(name: str, model: Path, work: Path) -> dict[str, float]:
    """Runs one contender and measures it. To be called in a fresh process."""
    before = time.process_time()
    answer = with_pipeline if name == PIPELINE else with_predict
    taken = []
    for file in ("few", "few", "all"):  # the first call also imports
        begun = time.process_time()
        answer(work / "int8" if name == INT8 else model, work / f"{file}.jsonl", work / file_of(name))
        taken.append(time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"start": before + taken[0], "few": taken[1], "all": taken[2], "peak_bytes": peak}


def with_pipeline(model: Path, texts: Path, output: Path) -> None:
    """Predicts with the pipeline, as its documentation shows."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(model), truncation=True, max_length=MAX_LENGTH)
    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").splitlines()]
    answers = classify([row["text"] for row in rows], batch_size=32)
    with output.open("w", newline="", encoding="utf-8") as file:
        write = csv.writer(file).writerow
        write(["text", "label", "probability"])
        for row, answer in zip(rows, answers):
            write([row["text"], answer["label"], answer["score"]])


def with_predict(model: Path, texts: Path, output: Path) -> None:
    from hf_lcl.commands.predict import main as predict_command

    flags = ["--text_column_names=text", f"--max_seq_length={MAX_LENGTH}", f"--output_file={output}"]
    predict_command([str(model), str(texts), *flags])


def summarized(runs: list[dict[str, float]], counted: int) -> dict:
    """Medians of the runs."""
    rates = [counted / (run["all"] - run["few"]) for run in runs]
    return {
        "texts_per_second": statistics.median(rates),
        "start_seconds": statistics.median(run["start"] for run in runs),
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "runs": runs,
    }


def markdown(report: dict) -> str:
    """The report as a markdown page."""
    machine, found = report["machine"], report["contenders"]
    lines = [
        "# Texts per processor second",
        "",
        f"{report['texts']['number']:,} texts of `{report['texts']['file']}` in the order of the file, cut at "
        f"{MAX_LENGTH} tokens; medians of {len(found[PIPELINE]['runs'])} run(s) in turns; int8 by `--max_drop "
        f"{report['max_drop']:g}`. Start: processor seconds of the first call with a few texts, imports and loading "
        "included. Same label: as the pipeline's.",
        f"{machine['device']}, {machine['threads']} of {machine['cpus']} CPUs, shared with other work; "
        f"{listed(report['versions'])}.",
        "",
        "| | texts per processor second | × | start, s | peak MiB | same label |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {row['texts_per_second']:.1f} | {row['times_pipeline']:.2f} | {row['start_seconds']:.1f} "
            f"| {row['peak_bytes'] / 2**20:.0f} | {row['same_label']:.1%} |"
            for name, row in found.items()
        ),
    ]
    reached = {name: "reached" if found[name]["times_pipeline"] >= goal else "missed" for name, goal in GOALS.items()}
    verdicts = [f"{name} at least {goal} times the pipeline: {reached[name]}" for name, goal in GOALS.items()]
    return "\n".join([*lines, "", f"Goals: {'; '.join(verdicts)}.", ""])


if __name__ == "__main__":
    with one_line_errors():
        main()
