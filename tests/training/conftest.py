"""One run of two processes, shared by all tests that need one."""

import json
from pathlib import Path

import pytest
from launching import run_copies
from transformers import BertConfig, BertForSequenceClassification


@pytest.fixture(scope="session")
def two_processes(splits, tokenizer, tmp_path_factory) -> list[dict]:
    """The `steps` on a data set and the `batches` of a stream in each of two processes, see `two_processes.py`."""
    folder = tmp_path_factory.mktemp("two_processes")
    splits["train"].save_to_disk(folder / "train")
    tokenizer.save_pretrained(folder / "model")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=4
    )
    BertForSequenceClassification(config).save_pretrained(folder / "model")
    script = Path(__file__).with_name("two_processes.py")
    run_copies([str(script), str(folder)], folder / "said", count=2)
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]
