"""Whether a graph in int8 still answers as the classifier does, and which layers stay in float32 so that it does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..evaluation.decisions import decided
from ..support.files import GRAPH
from .graph import layers, quantize
from .onnx_classifier import OnnxClassifier


SAMPLE = 200  # texts by which layers are put in order


@dataclass(frozen=True)
class Checked:
    """A classifier beside the one it comes from, on labelled texts; in percent."""

    accuracy: float
    drop: float  # by so many points it is less accurate
    changed: float  # share of answers that differ

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.1f} ({-self.drop:+.1f}), {self.changed:.1f} % of the answers changed"


def check(logits: np.ndarray, original: np.ndarray, references: np.ndarray) -> Checked:
    """
    Compares logits, both of shape `(texts, num_labels)`, by class ids `(texts,)` or, where a text may have several
    labels, by zeros and ones `(texts, num_labels)`: an answer is then right where all of them are.
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
    Writes int8 graphs of the one in `folder` to `output`, one after the other, and yields of each the layers that stay
    in float32 and how it does: first with none, then with the last layer, then with more and more of those that
    change the logits most where they alone are quantised.
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
