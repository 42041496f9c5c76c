"""The script as a module, and data for it and for others."""

import importlib.util
from collections.abc import Callable, Iterator

import pytest
from command_line import SCRIPT
from transformers.utils import logging


@pytest.fixture(scope="session")
def run() -> Callable[[list[str]], None]:
    """`main` of `examples/run_classification.py`."""
    spec = importlib.util.spec_from_file_location("run_classification", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """Acts as if the extra `plots` were not installed, to save time; the tests of `train` check the plots."""
    monkeypatch.setattr("hf_lcl.commands.job.find_spec", lambda package: None)


@pytest.fixture(autouse=True)
def verbosity() -> Iterator[None]:
    """Restores transformers' verbosity, which benchmarks lower here and on which the bars of a `Trainer` depend."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)


@pytest.fixture(scope="session")
def settings(start) -> dict[str, str]:
    """Flags of a complete run of two steps, without the output folder."""
    return start | {
        "do_train": "true",
        "do_eval": "true",
        "do_predict": "true",
        "max_steps": "2",
        "per_device_train_batch_size": "16",
        "use_cpu": "true",
        "disable_tqdm": "true",
        "save_strategy": "no",
    }


@pytest.fixture
def flags(settings, tmp_path) -> dict[str, str]:
    """These flags, with an output folder for this test."""
    return settings | {"output_dir": str(tmp_path / "out")}
