"""What a report found about a model, for its card, and whether the model still has the same weights."""

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
# Norms, biases and the classifier are smaller than this, and every training changes some of them.
LARGEST_HASHED_ELEMENTS = 2**20


def write_summary(output_dir: Path, findings: dict[str, Any]) -> None:
    """Writes the findings about the model in a folder, with a fingerprint of its weights."""
    write_json(output_dir / FOLDER / SUMMARY, findings | {"weights": weights_fingerprint(output_dir)})


def add_findings(output_dir: str | Path, **findings: Any) -> None:
    """Adds to the summary of the model in a folder, if there is one about its present weights."""
    summary = read_summary(output_dir)
    if summary is not None:
        write_summary(Path(output_dir), summary | findings)


def read_summary(output_dir: str | Path) -> dict[str, Any] | None:
    """
    The findings of the last report about the model in a folder: `metrics`, `intervals`, `per_class`, `confused_pairs`,
    `calibration`, `split`, `rows`, `fingerprints`, `pictures` and perhaps `baselines`. `None` if there is no complete
    report, or it is about other weights.
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
    """A hash of the small tensors in a folder, 16 hexadecimal digits: quick for large models too."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in sorted(file.keys()):
                if math.prod(file.get_slice(name).get_shape()) <= LARGEST_HASHED_ELEMENTS:
                    digest.update(name.encode())
                    digest.update(file.get_tensor(name).flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
