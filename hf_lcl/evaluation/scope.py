"""Detection of out-of-scope texts: scores, their metrics, and the choice of the threshold."""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax


KEPT_SHARE = 0.95  # share of the known texts that is kept at the threshold of the metrics
NEIGHBOUR_RANK = 5  # the score is the cosine to the training text of this rank
# The order of logits that differ by less may depend on the batch size.
SCORE_TOLERANCE = 1e-5
# Names of the scores. Only the first is built into the exported classifier.
NAMES = {
    "largest_logit": "largest logit",
    "energy": "energy",
    "largest_probability": "1 - largest probability",
    "mahalanobis": "relative Mahalanobis distance",
    "centroid": "nearest centroid",
    "neighbours": f"{NEIGHBOUR_RANK} nearest texts",
}


@dataclass(frozen=True)
class Rule:
    """
    How the logit of the class `out_of_scope` is chosen: `"keep"`, so that this share of validation texts still gets a
    known class; `"recall"`, so that this share of out-of-scope texts is found; or `"f1"`, for the best F1 of the class
    on both.
    """

    kind: str
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Parses a rule, such as `"keep=0.95"`; raises a `ValueError` for an invalid one."""
        kind, _, share = text.partition("=")
        try:
            rule = cls(kind, float(share or 0))
        except ValueError:
            rule = cls("")
        if not (text == "f1" or (rule.kind in ("keep", "recall") and 0 < rule.share < 1)):
            raise ValueError(f"out_of_scope={text!r} is no rule: use keep=0.95, recall=0.9, f1 or none.")
        return rule

    def __str__(self) -> str:
        return self.kind + (f"={self.share:g}" if self.share else "")

    def check(self, known: int, foreign: int | None) -> None:
        """Raises a `ValueError` if the number of validation or out-of-scope texts is too small for the rule."""
        if self.kind != "keep" and foreign is None:
            raise ValueError(f"out_of_scope={self} needs texts of no class: give --oos_file, or use keep=0.95.")
        few, what, where = known, "validation texts", "validation_file"
        if self.kind == "recall":
            few, what, where = foreign or 0, "out-of-scope texts", "oos_file"
        least = 1 if self.kind == "f1" else ceil(round(1 / (1 - self.share), 6))
        if few < least:
            lower = f", or use {self.kind}={floor(100 - 100 / few) / 100:g}" if few > 2 else ""
            raise ValueError(
                f"out_of_scope={self} leaves one text in {1 / (1 - self.share):,.0f} on the other side of the cut: it "
                f"needs {least} {what} or more, and there are {few}. Give more in --{where}{lower}."
            )

    def cut(self, known: np.ndarray, foreign: np.ndarray | None = None) -> float:
        """
        The logit of the class: texts whose largest logit is lower are out of scope. It lies halfway between two of the
        largest logits `(texts,)` of validation texts and of out-of-scope texts.
        """
        self.check(len(known), None if foreign is None else len(foreign))
        known = np.sort(known.astype(np.float64))
        if self.kind == "keep":
            lowest = known[int((1 - self.share) * len(known) + 1e-9)]
            below = known[known < lowest - SCORE_TOLERANCE]
            return float((below[-1] + lowest) / 2) if len(below) else float(lowest - SCORE_TOLERANCE)
        foreign = np.sort(np.asarray(foreign, dtype=np.float64))
        scores = np.sort(np.concatenate([known, foreign]))
        if self.kind == "recall":
            highest = foreign[ceil(self.share * len(foreign) - 1e-9) - 1]
        else:
            found, mistaken = (np.searchsorted(of, scores, side="right") for of in (foreign, known))
            highest = scores[np.argmax(2 * found / (found + mistaken + len(foreign)))]
        above = scores[scores > highest + SCORE_TOLERANCE]
        return float((highest + above[0]) / 2) if len(above) else float(highest + SCORE_TOLERANCE)


def with_out_of_scope(logits: np.ndarray, temperature: float, cut: float) -> np.ndarray:
    """The logits `(texts, num_labels + 1)` after the class is added to the last layer of the classifier."""
    logits = np.asarray(logits) / temperature
    return np.concatenate([logits, np.full((len(logits), 1), cut, dtype=logits.dtype)], axis=1)


def scope_scores(
    logits: np.ndarray,
    embeddings: np.ndarray | None = None,
    trained: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """
    Each score of `NAMES` for each text, `(texts,)`; higher means more like the known classes. Three are computed from
    the `logits` of the known classes `(texts, num_labels)`; the others need the `embeddings` of the texts and, as
    `trained`, embeddings `(rows, hidden)` and class ids `(rows,)` of training texts.
    """
    scores = {
        "largest_logit": logits.max(axis=1),
        "energy": logsumexp(logits, axis=1),
        "largest_probability": softmax(logits, axis=1).max(axis=1),
    }
    if embeddings is not None and trained is not None:
        from sklearn.preprocessing import normalize  # takes a second to import

        rows, labels = trained
        scores["mahalanobis"] = _relative_mahalanobis(embeddings, rows, labels)
        rows, texts = normalize(rows), normalize(embeddings)
        scores["centroid"] = (texts @ normalize(_centres(rows, labels)).T).max(axis=1)
        cosines = texts @ rows.T
        place = max(0, cosines.shape[1] - NEIGHBOUR_RANK)
        scores["neighbours"] = np.partition(cosines, place, axis=1)[:, place]
    return scores


def _centres(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of the rows of each class that has some, in the order of the class ids."""
    return np.stack([rows[labels == label].mean(axis=0) for label in np.unique(labels)])


def _relative_mahalanobis(texts: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Distance to the mean of all texts minus that to the nearest class (https://huggingface.co/papers/2106.09022)."""
    from scipy.spatial.distance import cdist
    from sklearn.covariance import LedoitWolf  # shrinks a covariance estimated from few texts

    distances = []
    for ids in (np.zeros_like(labels), np.unique(labels, return_inverse=True)[1]):
        centres = _centres(rows, ids)
        inside = (rows - centres[ids]).astype(np.float64)
        root = np.linalg.cholesky(LedoitWolf(assume_centered=True).fit(inside).get_precision())
        distances.append(cdist(texts @ root, centres @ root, "sqeuclidean").min(axis=1))
    return distances[0] - distances[1]


def scope_metrics(known: np.ndarray, foreign: np.ndarray) -> dict[str, float]:
    """
    How well a score `(texts,)`, higher for known texts, separates them from foreign ones: `auroc`; `aupr` with foreign
    texts as positives; and at the threshold that keeps 95 % of the known texts, the share of foreign texts that are
    kept (`fpr_at_95_kept`) and found (`oos_recall_at_95_kept`).
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # takes a second to import

    scores = -np.concatenate([known, foreign])
    is_foreign = np.repeat([False, True], [len(known), len(foreign)])
    passed = float((foreign >= np.quantile(known, 1 - KEPT_SHARE, method="lower")).mean())
    return {
        "auroc": float(roc_auc_score(is_foreign, scores)),
        "aupr": float(average_precision_score(is_foreign, scores)),
        "fpr_at_95_kept": passed,
        "oos_recall_at_95_kept": 1 - passed,
    }


def scope_table(known: dict[str, np.ndarray], foreign: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """[`scope_metrics`] of each of the [`scope_scores`], and its AUROC minus that of the largest logit."""
    rows: list[dict[str, Any]] = [{"score": NAMES[name]} | scope_metrics(known[name], foreign[name]) for name in known]
    return [row | {"auroc_difference": row["auroc"] - rows[0]["auroc"]} for row in rows]
