"""The real client, talking to an emulated Hub; and a reader of its own: another process, without a token."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from emulator import HubEmulator
from huggingface_hub import close_session
from huggingface_hub.utils import _http
from redirection import environment, redirect


# Run in a process in which `import hf_lcl` fails.
READER = """
import json, sys
sys.modules["hf_lcl"] = None
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
repo, texts = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(repo)
model, report = AutoModelForSequenceClassification.from_pretrained(repo, output_loading_info=True)
with torch.no_grad():
    logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
torch.save({
    "class": type(model).__name__,
    "problems": [key for kind in report.values() for key in kind],
    "logits": logits,
    "labels": [result["label"] for result in pipeline(model=repo)(texts)],
}, sys.argv[3])
"""
TEXTS = ["furious neighbour", "cake at the party today"]


@pytest.fixture(params=["lfs"])
def hub(request, monkeypatch, tmp_path) -> Iterator[HubEmulator]:
    """
    A Hub of its own for each test; this process talks to it as `anna`, who may write, and waits for nothing.

    With the parameter `"xet"` large files are sent and read by hf_xet.
    """
    monkeypatch.setattr("hf_lcl.hub.requests.WAITS_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(_http, "time", SimpleNamespace(**vars(time) | {"sleep": lambda seconds: None}))
    by_xet = request.param == "xet"
    with HubEmulator(xet=tmp_path / "xet" if by_xet else None) as server:
        redirect(monkeypatch, server.url, tmp_path / "cache", by_xet)
        yield server
    close_session()


@pytest.fixture
def read(tmp_path) -> Callable[[HubEmulator, str], dict[str, Any]]:
    """What somebody else gets from a repository."""

    def read(hub: HubEmulator, repo: str) -> dict[str, Any]:
        result = tmp_path / "result.pt"
        variables = environment(hub.url, tmp_path / "reader")
        subprocess.run([sys.executable, "-c", READER, repo, json.dumps(TEXTS), str(result)], check=True, env=variables)
        return torch.load(result)

    return read


@pytest.fixture
def logits(tokenizer) -> Callable[[Any], torch.Tensor]:
    """Those of a classifier for the reader's texts."""

    @torch.no_grad()
    def logits(model: Any) -> torch.Tensor:
        return model.eval()(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits

    return logits
