"""Compares int8 graphs with the original classifier, and chooses the layers that stay in float32."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..evaluation.decisions import decided
from ..support.files import GRAPH
from .graph import layers, quantize
from .onnx_classifier import OnnxClassifier


SAMPLE = 200  # number of texts by which layers are ranked


@dataclass(frozen=True)
class Checked:
    """A classifier compared with the original on labelled texts, in percent."""

    accuracy: float
    drop: float  # loss of accuracy, in points
    changed: float  # share of answers that differ

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.1f} ({-self.drop:+.1f}), {self.changed:.1f} % of the answers changed"


def check(logits: np.ndarray, original: np.ndarray, references: np.ndarray) -> Checked:
    """
    Compares logits with the original ones, both `(texts, num_labels)`. References are class ids `(texts,)` or, with
    several labels per text, zeros and ones `(texts, num_labels)`: a text is then right only if all its labels are.
    """
    several, rows = references.ndim == 2, (len(references), -1)
    found, before = (decided(values, several).reshape(rows) for values in (logits, original))
    right = references.reshape(rows)
    accuracy, accuracy_before = (100 * (answers == right).all(axis=1).mean() for answers in (found, before))
    changed = 100 * (found != before).any(axis=1).mean()
    return Checked(float(accuracy), float(accuracy_before - accuracy), float(changed))


def attempts(
    folder: Path,
    output: Path,
    texts: Sequence[str | tuple[str, str]],
    original: np.ndarray,
    references: np.ndarray,
    max_length: int,
) -> Iterator[tuple[list[str], Checked]]:
    """
    Writes int8 versions of the graph in `folder` to `output`, one after the other. For each it yields the layers that
    stay in float32 and the comparison with the original: first none, then the last layer, then one layer more each
    time. These are ranked by the error of the logits if only that layer is quantised, the largest first.
    """
    kinds = layers(folder / GRAPH)
    last, *others = kinds

    def logits(quantized: Sequence[str], some: slice = slice(None)) -> np.ndarray:
        left_out = [node for name in kinds if name not in quantized for node in kinds[name]]
        quantize(folder / GRAPH, output, left_out)
        return OnnxClassifier(folder, output).logits(texts[some], max_length=max_length)

    def attempt(kept: list[str]) -> tuple[list[str], Checked]:
        return kept, check(logits([name for name in kinds if name not in kept]), original, references)

    yield attempt([])
    yield attempt([last])
    sample = slice(SAMPLE)
    errors = {name: np.abs(logits([name], sample) - original[sample]).mean() for name in others}
    others.sort(key=lambda name: -errors[name])
    for number in range(1, len(others)):
        yield attempt([last, *others[:number]])
