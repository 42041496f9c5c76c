"""The benchmark of the losses, on batches of no size."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from formula import formula

from hf_lcl import label_aware_contrastive_loss


BENCHMARKS = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.mark.slow
def test_every_contender_is_measured_or_left_out_with_a_reason(tmp_path, monkeypatch, capsys):
    options = ["--sizes", "32", "64", "--repeats", "1", "--max_seconds", "1e-3", f"--output_dir={tmp_path}"]
    command = [sys.executable, str(BENCHMARKS / "loss.py"), *options]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "loss.json").read_text())
    for name, row in report["rows"].items():
        package = name.split(" ")[0]
        if package in ("pytorch-metric-learning", "sentence-transformers") and not find_spec(
            package.replace("-", "_")
        ):
            assert "is not installed" in row["32"]["skipped"]
        else:
            assert row["32"]["seconds"] > 0
    assert report["rows"]["bare products"]["32"]["seconds_ratio"] == 1
    assert "would take about" in report["rows"]["LCL, Python loops"]["64"]["skipped"]
    assert (tmp_path / "loss.md").read_text().strip() in ran.stdout
    assert (tmp_path / "loss.png").stat().st_size > 10_000

    # What is measured is not measured again.
    monkeypatch.syspath_prepend(BENCHMARKS)
    import loss

    loss.main(options)
    assert json.loads((tmp_path / "loss.json").read_text()) == report
    assert (tmp_path / "loss.md").read_text().strip() in capsys.readouterr().out


def test_rivals_of_our_own_compute_the_same_loss(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import loss_contenders as benchmark

    batch = benchmark.Batch.random(24, hidden_size=8, num_labels=5)
    expected = formula(
        label_aware_contrastive_loss,
        batch.embeddings,
        batch.labels,
        batch.weighting_logits,
        temperature=benchmark.TEMPERATURE,
    )
    for function in (benchmark.ours_label_aware, benchmark.direct_form, benchmark.double_loop):
        torch.testing.assert_close(function(batch).double(), expected, rtol=1e-5, atol=0)
