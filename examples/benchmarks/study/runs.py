"""Finished runs, in the form that tables and plots read."""

from typing import Any

import numpy as np


# Maps cell and system to the runs by seed.
Runs = dict[tuple[str, str], dict[int, dict[str, Any]]]


def add_known_defaults(runs: Runs) -> None:
    """
    Adds runs of `lcl-default` that need no training of their own: to the last bit, it is `lcl-anchors` where class
    names say more than the texts, and `lcl-learned` where they do not. Runs of `lcl-default` itself are kept.
    """
    for (cell, system), seeds in list(runs.items()):
        for seed, run in seeds.items():
            if system == ("lcl-learned" if _names_are_left_out(cell, seed) else "lcl-anchors"):
                runs.setdefault((cell, "lcl-default"), {}).setdefault(seed, run)


def _names_are_left_out(cell: str, seed: int) -> bool:
    """Whether the closeness of the names of this draw is below the threshold of the library; see `class_names.py`."""
    return cell.startswith(("banking77", "clinc150")) or (cell, seed) == ("tweeteval, 16 each", 3)


def correct(run: dict[str, Any]) -> np.ndarray:
    """Whether each test text was classified correctly: 1.0 or 0.0, in the order of the texts."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(run["correct"]), dtype=np.uint8))
    return bits[: run["texts"]["test"]].astype(float)
