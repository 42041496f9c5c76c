"""The cost of auditing a large file: nearest-neighbour search, with and without an index, and the whole command."""

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from clocks import time_of
from million_rows import KIB, Settings, write_rows
from transformers import AutoTokenizer, BertConfig, BertModel

from hf_lcl.evaluation.audit.embedding import on_disk
from hf_lcl.evaluation.audit.findings import SAME_TEXT_COSINE
from hf_lcl.evaluation.audit.neighbours import nearest


ROWS, HIDDEN, NUMBER = 200_000, 384, 10
QUERIES = 4_096  # rows whose neighbours are searched among all rows
PLANTED = 0.05  # share of rows that are near duplicates of the one before
LISTS = 1024
SEARCHES = ("ours", "faiss flat", "faiss IVF, 16 of 1024 lists", "faiss IVF, 64 of 1024 lists")
LARGE = [
    *({"large": "search", "by": by, "rows": ROWS, "hidden": HIDDEN, "queries": QUERIES} for by in SEARCHES),
    {"large": "command", "rows": 100_000, "few": 1000},
]


def measure_large(run: dict[str, Any], encoder: str) -> dict[str, Any]:
    """Times a search and its recall, or the command and its memory. Some runs need faiss-cpu."""
    return command(run, encoder) if run["large"] == "command" else search(run)


def vectors(rows: int, hidden: int) -> np.ndarray:
    """Unit vectors around 1,000 centres, in half precision on disk; some are near duplicates of the one before."""
    rng = np.random.default_rng(0)
    centres, found = rng.normal(size=(1000, hidden)).astype(np.float32), on_disk((rows, hidden), np.float16)
    for start in range(0, rows, 20_000):
        part = centres[rng.integers(1000, size=min(20_000, rows - start))]
        part = part + rng.normal(size=part.shape).astype(np.float32)
        repeated = 1 + np.flatnonzero(rng.random(len(part) - 1) < PLANTED)
        part[repeated] = part[repeated - 1] + 0.2 * rng.normal(size=(len(repeated), hidden)).astype(np.float32)
        found[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return found


def search(run: dict[str, Any]) -> dict[str, Any]:
    """Times the search for the neighbours of some rows among all; recall of true neighbours and near duplicates."""
    among = vectors(run["rows"], run["hidden"])
    queries, rows = among[: run["queries"]], np.arange(run["queries"])[:, None]
    truth = nearest(queries, NUMBER + 1, others=among)
    if run["by"] == "ours":
        building, found = dict[str, float](), truth.rows
        asking = time_of(lambda: nearest(queries, NUMBER + 1, others=among))
    else:
        building, asking, found = by_faiss(run["by"], np.asarray(among, np.float32), queries.astype(np.float32))
    is_near = (truth.cosines >= SAME_TEXT_COSINE) & (truth.rows != rows)
    hit = (truth.rows[:, :, None] == found[:, None]).any(axis=2)
    return {
        "building": building,
        "asking": asking,
        "recall": float(hit.mean()),
        "near_equal": int(is_near.sum()),
        "near_equal_found": int((is_near & hit).sum()),
    }


def by_faiss(kind: str, among: np.ndarray, queries: np.ndarray) -> tuple[dict, dict, np.ndarray]:
    """Seconds to build and to query a faiss index, and the rows that it finds."""
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(among.shape[1])
    index: Any = flat
    if "IVF" in kind:
        index = faiss.IndexIVFFlat(flat, among.shape[1], LISTS, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = int(kind.split()[2])

    def build() -> None:
        if not index.is_trained:
            index.train(among[: 40 * LISTS])
        index.add(among)

    building, found = time_of(build), []
    asking = time_of(lambda: found.append(index.search(queries, NUMBER + 1)[1]))
    return building, asking, found[0]


def command(run: dict[str, Any], encoder: str) -> dict[str, Any]:
    """
    CPU seconds and peak memory of `hf-lcl audit` with an encoder of one narrow layer, for a large file and for one of
    few rows.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = AutoTokenizer.from_pretrained(encoder)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
        )
        BertModel(config).save_pretrained(folder / "encoder")
        tokenizer.save_pretrained(folder / "encoder")
        found = {}
        for kind in ("few", "rows"):
            file = folder / f"{kind}.jsonl"
            write_rows(file, Settings(encoder, run[kind]))
            arguments = ["-m", "hf_lcl", "audit", str(file), "--model", str(folder / "encoder")]
            found[kind] = watched([*arguments, "--output_file", str(folder / "audit.csv")], folder / "log")
            found[kind]["file_bytes"] = file.stat().st_size
        return found


def watched(arguments: list[str], log: Path) -> dict[str, float]:
    """CPU seconds of a Python process, and its peak anonymous memory, which excludes mapped files."""
    before, peak = resource.getrusage(resource.RUSAGE_CHILDREN), 0
    with open(log, "w", encoding="utf-8") as opened:
        process = subprocess.Popen([sys.executable, *arguments], stdout=opened, stderr=opened)
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            lines = status.read_text(encoding="utf-8").splitlines()
            peak = max([peak, *(int(line.split()[1]) * KIB for line in lines if line.startswith("RssAnon"))])
            time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(log.read_text(encoding="utf-8")[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor_seconds": seconds, "peak_bytes": peak}


def large_markdown(runs: list[dict[str, Any]]) -> list[str]:
    """The section of the page on large files."""
    searches = [run for run in runs if run["settings"]["large"] == "search"]
    lines = []
    if searches:
        size = searches[0]["settings"]
        lines += [
            f"Processor seconds to search the {NUMBER} neighbours of {size['queries']:,} rows among {size['rows']:,} "
            f"of {size['hidden']} numbers, one thread (made-up vectors around 1,000 centres, of which "
            f"{PLANTED:.0%} nearly repeat another). All rows take {size['rows'] / size['queries']:.0f} times as long; "
            "an index is built once. Recall: of the neighbours that the full search finds; last, of the near-equal "
            "pairs.",
            "",
            "| by | build | ask | all rows | recall | near-equal found |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for run in searches:
            build, ask = (run[name].get("processor_seconds", 0.0) for name in ("building", "asking"))
            whole = build + ask * size["rows"] / size["queries"]
            lines.append(
                f"| {run['settings']['by']} | {build:.0f} | {ask:.1f} | {whole:.0f} | {run['recall']:.1%} "
                f"| {run['near_equal_found'] / max(run['near_equal'], 1):.1%} |"
            )
        lines.append("")
    for run in runs:
        if run["settings"]["large"] == "command":
            few, many = run["few"], run["rows"]
            lines += [
                f"`hf-lcl audit` on a file of {run['settings']['rows']:,} made-up texts "
                f"({many['file_bytes'] / KIB**2:.0f} MiB), with an encoder of one narrow layer (embeddings of 64 "
                f"numbers): {many['processor_seconds']:.0f} processor seconds, and "
                f"{many['peak_bytes'] / KIB**2:,.0f} MiB of memory at most, mapped files not counted; with "
                f"{run['settings']['few']:,} texts {few['processor_seconds']:.0f} seconds and "
                f"{few['peak_bytes'] / KIB**2:,.0f} MiB.",
                "",
            ]
    return lines
