"""Nearest-neighbour search by cosine, in blocks."""

from typing import NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from tqdm.auto import tqdm

from .embedding import on_disk


ROWS, COLUMNS = 1024, 32_768  # shape of the block of cosines in memory


class Neighbours(NamedTuple):
    """The nearest rows of each row, `(rows, number)`, the nearest first; -1 and a cosine of -1 for none."""

    rows: np.ndarray
    cosines: np.ndarray


@torch.inference_mode()
def nearest(embeddings: np.ndarray, number: int = 10, *, others: np.ndarray | None = None) -> Neighbours:
    """
    The nearest rows by cosine of embeddings of length 1 `(rows, hidden)`, by exhaustive search among `others` of the
    same width or, by default, among the other rows.
    """
    device, among = PartialState().device, embeddings if others is None else others
    dtype = torch.float32 if device.type == "cpu" else torch.float16  # CPUs are slow in half precision
    rows = on_disk((len(embeddings), number), np.int32)
    cosines = on_disk((len(embeddings), number))
    for start in tqdm(range(0, len(embeddings), ROWS), desc="neighbours", disable=len(embeddings) < 20 * ROWS):
        queries = torch.from_numpy(embeddings[start : start + ROWS]).to(device, dtype)
        best = torch.full((len(queries), number), -1.0, device=device)
        found = torch.full((len(queries), number), -1, device=device)
        for first in range(0, len(among), COLUMNS):
            block = torch.from_numpy(among[first : first + COLUMNS]).to(device, dtype)
            scores = (queries @ block.T).float()
            if others is None:
                scores.diagonal(start - first).fill_(-2)  # each row with itself: below every cosine
            values, places = scores.topk(min(number, len(block)), dim=1)
            best, order = torch.cat([best, values], dim=1).topk(number, dim=1)
            found = torch.cat([found, places + first], dim=1).gather(1, order)
        rows[start : start + ROWS], cosines[start : start + ROWS] = found.cpu(), best.cpu()
    return Neighbours(rows, cosines)
