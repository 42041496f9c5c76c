"""The script as a module, and data for it and for others."""

import importlib.util
from collections.abc import Callable

import pytest
from command_line import SCRIPT


@pytest.fixture(scope="session")
def run() -> Callable[[list[str]], None]:
    """`main` of `examples/run_classification.py`."""
    spec = importlib.util.spec_from_file_location("run_classification", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """As where the extra `plots` is not installed: these runs are many; the tests of `train` look at the pictures."""
    monkeypatch.setattr("hf_lcl.commands.job.find_spec", lambda package: None)


@pytest.fixture
def flags(files, encoder_folder, tmp_path) -> dict[str, str]:
    """Flags of a complete run, by name."""
    return {
        "model_name_or_path": str(encoder_folder),
        **{f"{name}_file": path for name, path in files.items()},
        "output_dir": str(tmp_path / "out"),
        "do_train": "true",
        "do_eval": "true",
        "do_predict": "true",
        "num_train_epochs": "2",
        "per_device_train_batch_size": "16",
        "use_cpu": "true",
        "disable_tqdm": "true",
        "save_strategy": "no",
    }
