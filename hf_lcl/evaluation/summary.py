"""What a report found, for those who write about the model later; known to be of these weights or not."""

import hashlib
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.utils import logging

from ..support.files import read_json, write_json


logger = logging.get_logger(__name__)

FOLDER = "report"
SUMMARY = "summary.json"
# Norms, biases and the classifier are below this, and every training changes some of them.
SMALL_TENSOR = 2**20


def write_summary(output_dir: Path, findings: dict[str, Any]) -> None:
    """Writes what was found of the model in a folder, and which weights it was found of."""
    write_json(output_dir / FOLDER / SUMMARY, findings | {"weights": weights_fingerprint(output_dir)})


def add_findings(output_dir: str | Path, **findings: Any) -> None:
    """Adds to what the last report found of the model in a folder, where there is one and it is of these weights."""
    summary = read_summary(output_dir)
    if summary is not None:
        write_summary(Path(output_dir), summary | findings)


def read_summary(output_dir: str | Path) -> dict[str, Any] | None:
    """
    What the last report found of the model in a folder.

    Args:
        output_dir (`str` or `Path`): as of [`write_report`].

    Returns:
        `dict[str, Any]` with `metrics`, `per_class`, `confused_pairs`, `calibration`, `split`, `rows`, `fingerprints`,
        `pictures` and perhaps `baseline`, or `None` where there is no whole report, or it is about other weights than
        those in the folder now.
    """
    path = Path(output_dir) / FOLDER / SUMMARY
    if not path.is_file():
        return None
    try:
        summary = read_json(path)
    except ValueError as error:
        logger.warning(f"{error} The results of the last report are left out.")
        return None
    return summary if summary.pop("weights", None) == weights_fingerprint(Path(output_dir)) else None


def weights_fingerprint(folder: Path) -> str:
    """16 hexadecimal digits that another training changes, out of the small tensors: large models take no longer."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in sorted(file.keys()):
                if math.prod(file.get_slice(name).get_shape()) <= SMALL_TENSOR:
                    digest.update(name.encode())
                    digest.update(file.get_tensor(name).flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
