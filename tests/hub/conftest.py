"""The real client, connected to an emulated Hub."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from emulator import HubEmulator
from huggingface_hub import close_session
from huggingface_hub.utils import _http
from redirection import redirect


@pytest.fixture(params=["lfs"])
def hub(request, monkeypatch, tmp_path) -> Iterator[HubEmulator]:
    """
    A separate Hub for each test. This process is logged in as `anna`, who may write, and retries without waiting.

    With the parameter `"xet"` large files are transferred by hf_xet.
    """
    monkeypatch.setattr("hf_lcl.hub.requests.WAITS_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(_http, "time", SimpleNamespace(**vars(time) | {"sleep": lambda seconds: None}))
    by_xet = request.param == "xet"
    with HubEmulator(xet=tmp_path / "xet" if by_xet else None) as server:
        redirect(monkeypatch, server.url, tmp_path / "cache", by_xet)
        yield server
    close_session()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A folder that the first test with [`saved`] fills."""
    return tmp_path_factory.mktemp("run") / "out"


@pytest.fixture
def saved(run_folder, request, tmp_path) -> Path:
    """A copy of a folder with a classifier and all other files of a run."""
    if not run_folder.exists():
        trainer = request.getfixturevalue("make_trainer")(objective="lcl", folder="run")
        trainer.save_model()
        folder = Path(trainer.args.output_dir)
        trainer.save_model(str(folder / "checkpoint-8"), _internal_call=True)  # as the Trainer writes a checkpoint
        trainer.state.save_to_json(str(folder / "checkpoint-8" / "trainer_state.json"))
        others = ("training_args.bin", "predict_results.txt", "predictions.csv", ".env")
        others = (*others, "runs/events.1", "run-0/model.safetensors")
        for name in (*others, "checkpoint-8/notes.txt"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("furious neighbour")
        folder.rename(run_folder)
    return shutil.copytree(run_folder, tmp_path / "saved")


@pytest.fixture
def texts() -> list[str]:
    """Texts to compare classifiers with."""
    return ["furious neighbour", "cake at the party today"]


@pytest.fixture
def logits(tokenizer, texts) -> Callable[[Any], torch.Tensor]:
    """The logits of a classifier for `texts`."""

    @torch.no_grad()
    def logits(model: Any) -> torch.Tensor:
        return model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits

    return logits
