"""The benchmark of padding, on the texts of the demo."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_every_order_is_counted(tmp_path, minilm):
    (tmp_path / "feelings").mkdir()
    with gzip.open(tmp_path / "feelings" / "train.jsonl.gz", "wb") as file:
        file.write((EXAMPLES / "data" / "feelings_train.jsonl").read_bytes())
    script = EXAMPLES / "benchmarks" / "padding.py"
    options = [
        f"--data_dir={tmp_path}",
        f"--model_name_or_path={minilm}",
        "--batch_size=8",
        f"--output_dir={tmp_path}",
    ]
    ran = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, env=os.environ)
    assert ran.returncode == 0, ran.stderr
    orders = json.loads((tmp_path / "padding.json").read_text())["data_sets"]["feelings"]
    random, balanced, by_length = orders.values()
    assert by_length["padding"] < balanced["padding"]
    assert random["valid_anchors"] < balanced["valid_anchors"] == by_length["valid_anchors"] == 1
    assert "| feelings | balanced, by length |" in (tmp_path / "padding.md").read_text()
