"""The machine and the package versions that a benchmark ran with, and a check of flags."""

import os
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import torch

from hf_lcl import __version__


def machine() -> dict[str, Any]:
    """Device, CPUs, threads and memory of this machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else cpu,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _is_installed(name: str) -> bool:
    return find_spec(name.replace("-", "_")) is not None


def versions(*others: str) -> dict[str, str]:
    """Versions of Python, of the packages that every training uses, and of those of `others` that are installed."""
    packages = ("torch", "transformers", "accelerate", *filter(_is_installed, others))
    own = {"python": platform.python_version(), "hf_lcl": __version__}  # hf_lcl may run from a checkout
    return own | {name: version(name) for name in packages}


def listed(versions: dict[str, str]) -> str:
    """Formats versions for the tables."""
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def check_known(flag: str, chosen: Iterable[str], known: Iterable[str], shown: Callable[[str], str] = str) -> None:
    """Raises a `ValueError` if a chosen name is not among the known values of a flag; it lists these."""
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"--{flag} {unknown[0]!r} is unknown: use some of {', '.join(map(shown, known))}.")
