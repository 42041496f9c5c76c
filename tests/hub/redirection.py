"""Redirects the Hub client of this process, or of another one, to another Hub."""

import os
from pathlib import Path

import pytest
import transformers
from emulator import WRITE_TOKEN
from huggingface_hub import close_session, constants, hf_api


def redirect(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path, xet: bool = False) -> None:
    """Redirects the client of this process, which has read its environment already, to another Hub."""
    close_session()
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hf_api.api, "endpoint", url)
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)


def environment(url: str, home: Path) -> dict[str, str]:
    """The environment of another user's process: no token, and `home` as its only cache."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return inherited | {"HF_ENDPOINT": url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
