"""Several processes take the same step as one process with the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from launching import free_port
from process import SHARES, STEPS, Process, main
from torch.multiprocessing import start_processes
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.model import modeling


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, splits, several_splits, tokenizer) -> Path:
    """The texts, and a wrapper in float64 without dropout."""
    folder = tmp_path_factory.mktemp("processes")
    splits.save_to_disk(folder / "splits")
    several_splits.save_to_disk(folder / "several")
    tokenizer.save_pretrained(folder / "wrapper")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=4,
    )
    torch.manual_seed(0)
    bert = BertForSequenceClassification(config).double()
    LCLForSequenceClassification.from_native(bert).save_pretrained(folder / "wrapper")
    return folder


@pytest.fixture(scope="module")
def alone(folder) -> Process:
    """This process."""
    return Process(folder)


@pytest.fixture(scope="module")
def together(folder) -> dict[str, Any]:
    """The results of three processes, which are forked by `launching`."""
    start_processes(main, (folder, free_port()), nprocs=3, start_method="forkserver")
    return torch.load(folder / "results.pt")


@pytest.mark.parametrize("name", STEPS)
def test_the_gradient_is_that_of_the_whole_batch(alone, together, name):
    for key, tensor in alone.gradients(name, STEPS[name]).items():
        tolerance = 1e-5 if key.startswith("part") else 1e-9
        torch.testing.assert_close(together[name][key], tensor, rtol=tolerance, atol=tolerance, msg=f"{key} differs")


@pytest.mark.parametrize("name", ["start", "run", "several_run", "learned"])
def test_a_whole_run_ends_in_the_same_weights_and_metrics(alone, together, name):
    for key, tensor in getattr(alone, name)().items():
        torch.testing.assert_close(together[name][key], tensor, rtol=1e-5, atol=1e-6, msg=f"{key} differs")


def test_a_resumed_run_ends_in_the_same_weights(together):
    assert together["resume"]["difference"] == 0


def test_candidates_come_in_the_order_of_the_processes_and_gradients_add_up(together):
    start = 0
    for candidates, rows in zip(together["gather"], SHARES[3], strict=True):
        assert candidates.pop("gradient") == [[6.0 * (number + 1)] for number in range(start, start + rows)]
        assert candidates.pop("indicators") == [[number >> bit & 1 for bit in range(4)] for number in range(12)]
        assert candidates == {
            "embeddings": [[float(number)] for number in range(12)],
            "labels": [10 * number for number in range(12)],
            "anchor_positions": list(range(start, start + rows)),
            "batch_size": 12,
            "processes": 3,
            "is_name": [False, True] * 6,
        }
        start += rows


def test_a_sharded_run_saves_the_same_classifier(folder, together):
    names = ("run-3", "sharded-3", "sharded-resumed-3")
    plain, *sharded = (AutoModelForSequenceClassification.from_pretrained(folder / name) for name in names)
    for classifier in sharded:
        for name, tensor in plain.state_dict().items():
            torch.testing.assert_close(classifier.state_dict()[name], tensor, rtol=1e-9, atol=1e-9)
    checkpoint = folder / "sharded-3" / "checkpoint-4"
    _, report = LCLForSequenceClassification.from_pretrained(checkpoint, output_loading_info=True)
    assert not [key for kind in report.values() for key in kind]
    files = {path.name for path in Path(modeling.__file__).parent.glob("*.py")} - {"__init__.py"}
    assert {path.name for path in checkpoint.glob("*.py")} - {"__init__.py"} == files
