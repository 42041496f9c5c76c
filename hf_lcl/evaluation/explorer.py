"""Explains the answer for a single text: likeliest classes, closest training texts, and frequent confusions."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.preprocessing import normalize
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from ..model.classes import OUT_OF_SCOPE, class_names
from ..model.modeling import LCLForSequenceClassification
from .inference import run_on_texts
from .summary import FOLDER, read_summary


# The classifier is not sure if the probabilities of its two likeliest classes differ by less than this.
UNSURE_MARGIN = 0.2
MOST_SHOWN = 5
ANSWER_ACCURACY = 0.95  # wanted accuracy of the answers that are not left to a person


@dataclass(frozen=True)
class Answer:
    """The answer for a text."""

    classes: dict[str, float]  # the likeliest and their probabilities, the likeliest first
    is_sure: bool  # whether the likeliest is ahead of the next by 0.2 or more
    neighbours: list[tuple[str, str, float]]  # the closest training texts: text, label, cosine
    # The classes that the two likeliest ones are confused with: class, other class, "measured" (share of the test
    # texts) or "learned" (mean weight), number.
    confused: list[tuple[str, str, str, float]]
    remark: str  # that no class fits, or that a person should check; else empty


class Explorer:
    """
    A finished classifier for one text at a time, which is truncated to `max_seq_length` tokens. Confused classes are
    read from the report in its `folder`; `texts` and `labels` are the training texts and their class names.
    """

    def __init__(
        self,
        folder: str | Path,
        model: LCLForSequenceClassification,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_seq_length: int = 128,
        texts: Sequence[str] = (),
        labels: Sequence[str] = (),
    ):
        self.names = class_names(model.config)
        self._model, self._tokenizer = model, tokenizer
        self._max_length = max_seq_length
        self._texts, self._labels = list(texts), list(labels)
        self._embeddings = self._run(self._texts, "training texts")[1] if self._texts else np.empty((0, 0))
        report, summary = Path(folder) / FOLDER, read_summary(folder) or {}
        self.cuts: list[dict[str, float]] = summary.get("selective", {}).get("cuts", [])
        curve = report / "risk_coverage.csv"
        self.curve = pd.read_csv(curve) if curve.is_file() else None
        self._cut = next((row for row in self.cuts if row["wanted"] == ANSWER_ACCURACY), None)
        self._shares = {
            "measured": _read_shares(report / "confusion_matrix.csv", self.names),
            "learned": _read_shares(report / "label_relations.csv", self.names),
        }

    def ask(self, text: str) -> Answer:
        """The answer for a text; raises a `ValueError` for an empty one."""
        if not text.strip():
            raise ValueError("There is no text: type one.")
        probabilities, embedding = self._run([text], "text")
        order = np.argsort(-probabilities[0])[:MOST_SHOWN]
        top = probabilities[0][order]
        cosines = self._embeddings @ embedding[0] if self._texts else np.empty(0)
        return Answer(
            {self.names[index]: float(probability) for index, probability in zip(order, top)},
            bool(top[0] - top[1] >= UNSURE_MARGIN),
            [(self._texts[row], self._labels[row], float(cosines[row])) for row in np.argsort(-cosines)[:MOST_SHOWN]],
            [pair for index in order[:2] for pair in self._confused(int(index))],
            self._remark(self.names[order[0]], float(top[0])),
        )

    def _remark(self, best: str, probability: float) -> str:
        if best == OUT_OF_SCOPE:
            return "None of the classes fits."
        if self._cut is None or probability >= self._cut["reject_below"]:
            return ""
        return (
            f"Ask a person: below {self._cut['reject_below']:.0%}, the cut for {ANSWER_ACCURACY:.0%} of right answers."
        )

    def _confused(self, index: int) -> list[tuple[str, str, str, float]]:
        return [
            (self.names[index], self.names[other], kind, float(shares[index, other]))
            for kind, shares in self._shares.items()
            for other in np.argsort(-shares[index])[:3]
            if shares[index, other] > 0
        ]

    def _run(self, texts: list[str], description: str) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities, and embeddings of length 1."""
        outputs = run_on_texts(
            self._model,
            self._tokenizer,
            texts,
            max_length=self._max_length,
            progress=tqdm(total=len(texts), desc=description, unit=" texts", disable=len(texts) == 1),
        )
        return softmax(outputs.logits, axis=1), normalize(outputs.embeddings)


def _read_shares(path: Path, names: list[str]) -> np.ndarray:
    """
    The share of each class (row) that goes to each other class, from a matrix written by the report; all 0 if the file
    is missing or has other classes.
    """
    shares = np.zeros((len(names), len(names)))
    if not path.is_file():
        return shares
    with path.open(encoding="utf-8", newline="") as file:
        (_, *columns), *rows = csv.reader(file)
    if sorted(columns) != sorted(names) or sorted(row[0] for row in rows) != sorted(names):
        return shares
    for true, *cells in rows:
        values = np.array([float(cell or 0) for cell in cells])[[columns.index(name) for name in names]]
        shares[names.index(true)] = values / values.sum().clip(min=1e-12)
    np.fill_diagonal(shares, 0)
    return shares
