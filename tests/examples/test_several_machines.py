"""Trainings on several machines, which here are processes that find each other by an address."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launching import free_port


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_two_machines_train_one_classifier(start, tmp_path):
    """Each has its own launcher, and knows of the other by the address alone."""
    port = free_port()
    out = tmp_path / "out"
    settings = start | {"output_dir": str(out), "do_train": "true", "num_train_epochs": "1", "save_strategy": "no"}
    settings |= {"per_device_train_batch_size": "16", "use_cpu": "true", "disable_tqdm": "true", "head_start": "false"}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_ip", "127.0.0.1"]
    launcher += ["--config_file", str(EXAMPLES / "accelerate_configs" / "multi_node.yaml")]
    script = [str(EXAMPLES / "run_classification.py"), *(f"--{name}={value}" for name, value in settings.items())]
    machines = [
        subprocess.Popen(
            [*launcher, "--main_process_port", str(port), "--machine_rank", str(rank), *script],
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [machine.communicate(timeout=600)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(said)
    state = json.loads((out / "trainer_state.json").read_text())
    assert state["global_step"] == 2  # 64 texts, of which each step takes 16 on each machine
    assert (out / "model.safetensors").is_file()
