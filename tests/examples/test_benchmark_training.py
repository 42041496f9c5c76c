"""The benchmarks of speed and memory run on a tiny encoder, and their reports are complete."""

import json
import threading
from importlib import import_module
from pathlib import Path

import pytest


def run(name: str, folder: Path, *options: str) -> dict:
    """The report of a benchmark."""
    import_module(name).main([*options, f"--output_dir={folder}"])
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.slow
def test_every_way_to_train_is_timed(tmp_path, encoder_folder, raw_splits):
    raw_splits["train"].to_json(tmp_path / "train.jsonl")  # words of the tokenizer: no text is cut
    report = run(
        "training",
        tmp_path,
        f"--model_name_or_path={encoder_folder}",
        f"--train_file={tmp_path / 'train.jsonl'}",
        "--batch_size=8",
        "--max_seq_length=64",
        "--rounds=1",
    )
    rows = report["rows"]
    assert {"`Trainer`, padded", "`Trainer`", "ours, CE", "ours, LCL", "ours, LCL, bf16"} <= set(rows)
    assert all(row["texts_per_second"] > 0 and row["peak_bytes"] > 0 for row in rows.values())
    assert rows["ours, LCL"]["padding"] < rows["`Trainer`"]["padding"] < rows["`Trainer`, padded"]["padding"]
    assert "Goals for LCL" in (tmp_path / "training.md").read_text()


@pytest.mark.slow
def test_both_kinds_of_step_are_timed(tmp_path, encoder_folder):
    sizes = ("--batch_size=64", "--mini_batch_size=8", "--sequence_length=16", "--rounds=1")
    report = run("gradient_cache", tmp_path, f"--model_name_or_path={encoder_folder}", *sizes)
    assert all(ratio > 0 for ratio in report["time_ratios"].values())
    assert report["peak_bytes"]["cached"] > 0


@pytest.mark.slow
def test_every_row_is_ordered_once(tmp_path, encoder_folder):
    report = run("million_rows", tmp_path, f"--tokenizer_name={encoder_folder}", "--rows=2000", "--num_labels=5")
    assert report["rows"] == 2000
    assert [stage["stage"] for stage in report["stages"]] == ["read and label", "tokenise", "order of an epoch"]
    assert "peak memory" not in {thread.name for thread in threading.enumerate()}, "the sampling has ended"
