"""Several processes take the step that one process would take with the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from process import STEPS
from transformers import AutoModelForSequenceClassification, BertForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.model import modeling


SCRIPT = Path(__file__).with_name("process.py")


def run(folder: Path, task: str, processes: int) -> None:
    """Starts so many processes, and waits for them."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    ran = subprocess.run([*command, str(SCRIPT), str(folder), task], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]


@pytest.fixture(scope="module")
def results(tmp_path_factory, splits, tokenizer):
    """What so many processes compute, from the same weights in float64 without dropout."""
    folder = tmp_path_factory.mktemp("processes")
    splits.save_to_disk(folder / "splits")
    tokenizer.save_pretrained(folder / "wrapper")
    done = {}

    def results(processes: int) -> dict[str, dict[str, torch.Tensor]]:
        if processes not in done:
            run(folder, "replicated", processes)
            done[processes] = torch.load(folder / f"results-{processes}.pt")
        return done[processes]

    results.folder = folder
    return results


@pytest.fixture(autouse=True)
def wrapper(results, bert_config):
    if not (results.folder / "wrapper" / "config.json").exists():
        bert_config.hidden_dropout_prob = bert_config.attention_probs_dropout_prob = 0.0
        torch.manual_seed(0)
        bert = BertForSequenceClassification(bert_config).double()
        LCLForSequenceClassification.from_native(bert).save_pretrained(results.folder / "wrapper")


MANY = [2, pytest.param(3, marks=pytest.mark.slow)]


@pytest.mark.parametrize("processes", MANY)
@pytest.mark.parametrize("name", STEPS)
def test_the_gradient_is_that_of_the_whole_batch(results, name, processes):
    alone, together = results(1)[name], results(processes)[name]
    assert alone.keys() == together.keys()
    for key, tensor in alone.items():
        tolerance = 1e-5 if key.startswith("part") else 1e-9
        torch.testing.assert_close(together[key], tensor, rtol=tolerance, atol=tolerance, msg=f"{key} differs")


@pytest.mark.parametrize("processes", MANY)
@pytest.mark.parametrize("name", ["start", "run"])
def test_a_whole_run_ends_in_the_same_weights_and_metrics(results, processes, name):
    alone, together = results(1)[name], results(processes)[name]
    for key, tensor in alone.items():
        torch.testing.assert_close(together[key], tensor, rtol=1e-5, atol=1e-6, msg=f"{key} differs")


@pytest.mark.parametrize("processes", [1, *MANY])
def test_a_resumed_run_ends_in_the_same_weights(results, processes):
    assert results(processes)["resume"]["difference"] == 0


@pytest.mark.slow
def test_a_sharded_run_saves_the_same_classifier(results):
    run(results.folder, "sharded", 2)
    folders = [results.folder / f"{name}-2" for name in ("plain", "sharded", "sharded-resumed")]
    plain, sharded, resumed = (AutoModelForSequenceClassification.from_pretrained(folder) for folder in folders)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(sharded.state_dict()[name], tensor, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=1e-9, atol=1e-9)
    checkpoint = results.folder / "sharded-2" / "checkpoint-4"
    _, report = LCLForSequenceClassification.from_pretrained(checkpoint, output_loading_info=True)
    assert not [key for kind in report.values() for key in kind]
    files = {path.name for path in Path(modeling.__file__).parent.glob("*.py")} - {"__init__.py"}
    assert {path.name for path in checkpoint.glob("*.py")} - {"__init__.py"} == files
