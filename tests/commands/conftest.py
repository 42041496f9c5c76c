"""Inputs of the commands, and their expected outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import DatasetDict
from transformers import BertForSequenceClassification

from hf_lcl.__main__ import main
from hf_lcl.commands.data import read_data
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.train import ARGUMENTS


@pytest.fixture
def reader(plain, tokenizer) -> Callable[[str], list[float]]:
    """The probabilities of a text, computed with transformers only."""
    model = BertForSequenceClassification.from_pretrained(plain).eval()
    return lambda text: model(**tokenizer([text], return_tensors="pt")).logits.softmax(dim=1)[0].tolist()


@pytest.fixture(scope="session")
def flags_into(start) -> Callable[[Path], list[str]]:
    """Flags of a short run of `train` or `compare` into a folder, without those like `--do_train`."""
    settings = start | {
        "max_steps": "1",
        "per_device_train_batch_size": "16",
        "learning_rate": "1e-3",
        "use_cpu": "true",
        "disable_tqdm": "true",
        "save_strategy": "no",
    }
    return lambda folder: [f"--{name}={value}" for name, value in (settings | {"output_dir": str(folder)}).items()]


@pytest.fixture
def training_flags(flags_into, tmp_path) -> list[str]:
    """These flags, with a folder for this test."""
    return flags_into(tmp_path / "out")


@pytest.fixture
def read(start, tmp_path) -> Callable[..., tuple[DatasetDict, list[str], Any]]:
    """The data that `train` reads, with flags that add to or replace those of `start`; `None` leaves one out."""

    def read(**flags: Any) -> tuple[DatasetDict, list[str], Any]:
        settings = start | {"output_dir": str(tmp_path / "out"), "do_train": "true", "use_cpu": "true"} | flags
        argv = [f"--{name}={value}" for name, value in settings.items() if value is not None]
        return read_data(*parse_arguments(ARGUMENTS, argv))

    return read


@pytest.fixture
def without_pictures(monkeypatch) -> None:
    """Acts as if the extra `plots` were not installed."""
    monkeypatch.setattr("hf_lcl.commands.job.find_spec", lambda package: None)


@pytest.fixture
def fails() -> Callable[[list[str]], str]:
    """Runs a command that fails, and returns its one-line error message."""

    def fails(argv: list[str]) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        message = str(stopped.value)
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return fails
