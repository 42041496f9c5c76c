#!/usr/bin/env python
"""
How much memory does a large data set take? Reads and tokenises a million rows, and draws the order of an epoch. The
figure is the peak of anonymous memory, which excludes the files that `datasets` maps into memory.

    python examples/benchmarks/million_rows.py --tokenizer_name sentence-transformers/all-MiniLM-L6-v2

Needs Linux. Prints the figures, and writes them to `million_rows.json`.
"""

import json
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from environment import machine, versions
from transformers import AutoTokenizer

from hf_lcl import LabelBalancedSampler, encode_labels, load_splits, tokenize_texts
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.labels import class_ids
from hf_lcl.data.lengths import token_counts
from hf_lcl.support.tables import format_table


# Bytes of anonymous memory.
GOAL = 1.5 * 2**30
WORDS = [
    "the",
    "a",
    "my",
    "neighbour",
    "today",
    "was",
    "at",
    "work",
    "and",
    "home",
    "with",
    "friend",
    "late",
    "again",
    "cake",
    "medal",
    "queue",
    "letter",
    "plate",
    "row",
]
KIB, GIB = 2**10, 2**30


@dataclass
class Settings:
    """The rows and the tokenizer."""

    tokenizer_name: str = field(metadata={"help": "Hub id or folder of a tokenizer."})
    rows: int = field(default=1_000_000, metadata={"help": "Rows of the data set."})
    num_labels: int = field(default=77, metadata={"help": "Number of classes."})
    batch_size: int = field(default=32, metadata={"help": "Texts in a batch."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of million_rows.json."}
    )


class PeakMemory:
    """Within `with`, samples the anonymous memory of this process many times a second; mapped files do not count."""

    def __init__(self) -> None:
        self.peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak memory", daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._end.wait(0.02):
            self.look()

    def look(self) -> int:
        """Returns the present anonymous memory in bytes, and updates the peak."""
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("RssAnon"):
                self.peak = max(self.peak, now := int(line.split()[1]) * KIB)
                return now
        raise RuntimeError("/proc/self/status has no RssAnon.")


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    memory = PeakMemory()
    before = memory.look()
    rows = []
    with memory, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        write_rows(path, settings)
        start = time.perf_counter()
        splits, _ = encode_labels(load_splits({"train": str(path)}))
        rows.append(measured("read and label", start, memory, before))
        start = time.perf_counter()
        train = tokenize_texts(splits, AutoTokenizer.from_pretrained(settings.tokenizer_name))["train"]
        rows.append(measured("tokenise", start, memory, before))
        start = time.perf_counter()
        sampler = LabelBalancedSampler(class_ids(train), settings.batch_size, lengths=token_counts(train))
        order = list(sampler)
        rows.append(measured("order of an epoch", start, memory, before))
    report = {
        "goal_bytes": GOAL,
        "rows": len(order),
        "machine": machine(),
        "versions": versions(),
        "stages": rows,
    }
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    (settings.output_dir / "million_rows.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(format_table([{**row, "peak_bytes": row["peak_bytes"] / GIB} for row in rows]).replace("_bytes", "_GiB "))
    print("reached" if rows[-1]["peak_bytes"] <= GOAL else "missed", f"{GOAL / GIB} GiB")


def write_rows(path: Path, settings: Settings) -> None:
    """Writes random texts of 4 to 24 words."""
    rng = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        for row in range(settings.rows):
            text = " ".join(rng.choices(WORDS, k=rng.randint(4, 24)))
            file.write(
                json.dumps({"text": f"{text} {row}", "label": f"class {rng.randrange(settings.num_labels)}"}) + "\n"
            )


def measured(stage: str, start: float, memory: PeakMemory, before: int) -> dict:
    """Seconds of a stage, and peak memory up to its end."""
    memory.look()
    return {"stage": stage, "seconds": time.perf_counter() - start, "peak_bytes": memory.peak - before}


if __name__ == "__main__":
    with one_line_errors():
        main()
