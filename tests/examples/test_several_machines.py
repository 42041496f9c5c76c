"""Training on several machines, simulated by processes that connect through an address."""

import json
from pathlib import Path

import pytest
from launching import free_port, start_copy, wait_for_all


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_two_machines_train_one_classifier(start, tmp_path):
    """Each has its own launcher, and finds the other only through the address."""
    port = free_port()
    out = tmp_path / "out"
    settings = start | {"output_dir": str(out), "do_train": "true", "num_train_epochs": "1", "save_strategy": "no"}
    settings |= {"per_device_train_batch_size": "16", "use_cpu": "true", "disable_tqdm": "true", "head_start": "false"}
    launcher = ["-m", "accelerate.commands.launch", "--main_process_ip", "127.0.0.1"]
    launcher += ["--config_file", str(EXAMPLES / "accelerate_configs" / "multi_node.yaml")]
    script = [str(EXAMPLES / "run_classification.py"), *(f"--{name}={value}" for name, value in settings.items())]
    said = [tmp_path / f"said-{rank}" for rank in (0, 1)]
    machines = [
        start_copy(
            [*launcher, "--main_process_port", str(port), "--machine_rank", str(rank), *script],
            output,
            environment={"CUDA_VISIBLE_DEVICES": ""},
        )
        for rank, output in enumerate(said)
    ]
    wait_for_all(machines, said)
    state = json.loads((out / "trainer_state.json").read_text())
    assert state["global_step"] == 2  # 64 texts, 16 per step on each machine
    assert (out / "model.safetensors").is_file()
