"""The benchmark of the losses, on tiny batches."""

import json
from importlib.util import find_spec

import loss
import loss_contenders
import pytest
import torch
from formula import formula
from launching import run_copy

from hf_lcl import label_aware_contrastive_loss


@pytest.mark.slow
def test_every_contender_is_measured_or_left_out_with_a_reason(tmp_path, capsys):
    options = ["--sizes", "32", "64", "--repeats", "1", "--max_seconds", "1e-3", f"--output_dir={tmp_path}"]
    # In a separate process, since its forkserver imports other packages than the one of this process.
    printed = run_copy([loss.__file__, *options], tmp_path / "printed")
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
    assert (tmp_path / "loss.md").read_text().strip() in printed
    assert (tmp_path / "loss.png").stat().st_size > 10_000

    # A rerun measures nothing again.
    loss.main(options)
    assert json.loads((tmp_path / "loss.json").read_text()) == report
    assert (tmp_path / "loss.md").read_text().strip() in capsys.readouterr().out


def test_rivals_of_our_own_compute_the_same_loss():
    batch = loss_contenders.Batch.random(24, hidden_size=8, num_labels=5)
    expected = formula(
        label_aware_contrastive_loss,
        batch.embeddings,
        batch.labels,
        batch.weighting_logits,
        temperature=loss_contenders.TEMPERATURE,
    )
    for function in (loss_contenders.ours_label_aware, loss_contenders.direct_form, loss_contenders.double_loop):
        torch.testing.assert_close(function(batch).double(), expected, rtol=1e-5, atol=0)
