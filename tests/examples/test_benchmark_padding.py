"""The benchmark of padding, on the texts of the demo."""

import gzip
import json
from pathlib import Path

import padding
import pytest


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_every_order_is_counted(tmp_path, minilm):
    (tmp_path / "feelings").mkdir()
    with gzip.open(tmp_path / "feelings" / "train.jsonl.gz", "wb") as file:
        file.write((EXAMPLES / "data" / "feelings_train.jsonl").read_bytes())
    options = ["--batch_size=8", f"--output_dir={tmp_path}"]
    padding.main([f"--data_dir={tmp_path}", f"--model_name_or_path={minilm}", *options])
    orders = json.loads((tmp_path / "padding.json").read_text())["data_sets"]["feelings"]
    random, balanced, by_length = orders.values()
    assert by_length["padding"] < balanced["padding"]
    assert random["valid_anchors"] < balanced["valid_anchors"] == by_length["valid_anchors"] == 1
    assert "| feelings | balanced, by length |" in (tmp_path / "padding.md").read_text()
