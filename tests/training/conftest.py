"""One run of two processes for all tests that look at one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import BertConfig, BertForSequenceClassification


@pytest.fixture(scope="session")
def two_processes(splits, tokenizer, tmp_path_factory) -> list[dict]:
    """What each of two processes took: `steps` of a data set and `batches` of a stream, see `two_processes.py`."""
    folder = tmp_path_factory.mktemp("two_processes")
    splits["train"].save_to_disk(folder / "train")
    tokenizer.save_pretrained(folder / "model")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=4
    )
    BertForSequenceClassification(config).save_pretrained(folder / "model")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = Path(__file__).with_name("two_processes.py")
    ran = subprocess.run([*command, str(script), str(folder)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]
