"""Finished runs, in the form that tables and plots read."""

from typing import Any

import numpy as np


# Maps cell and system to the runs by seed.
Runs = dict[tuple[str, str], dict[int, dict[str, Any]]]


def correct(run: dict[str, Any]) -> np.ndarray:
    """Whether each test text was classified correctly: 1.0 or 0.0, in the order of the texts."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(run["correct"]), dtype=np.uint8))
    return bits[: run["texts"]["test"]].astype(float)
