"""The systems of the two papers, with all their settings: none depends on the defaults of hf_lcl."""

from dataclasses import dataclass, field, fields
from typing import Any

from hf_lcl import ContrastiveTrainingArguments


@dataclass(frozen=True)
class System:
    """
    A row of the tables.

    Args:
        training (`dict`): fields of `ContrastiveTrainingArguments` that override those common to all systems.
        model (`dict`): arguments of `LCLForSequenceClassification.from_encoder`.
        formula (`dict`): extra fields of [`PaperObjective`].
        baseline (`str`, *optional*): kind of a recurrent encoder to train from scratch, instead of a pretrained one.
    """

    training: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    formula: dict[str, Any] = field(default_factory=dict)
    baseline: str | None = None


CONTRASTIVE = {
    "alpha": 0.5,
    "temperature": 0.3,
    "normalize_embeddings": True,
    "detach_weights": False,
    "distill_mean": False,
    "head_start": False,
    "head_refit": False,
    "names_as_texts": False,
    "num_views": 1,
    "view": "dropout",
    "sampler": "balanced",
    "samples_per_class": 2,
    "group_lengths": True,
}
CE = {"objective": "ce", "sampler": "random", "num_views": 1}
SCL = {"objective": "scl", **CONTRASTIVE}
LCL = {"objective": "lcl", **CONTRASTIVE}
DEFAULTS = {item.name: item.default for item in fields(ContrastiveTrainingArguments) if item.name in CONTRASTIVE}

# The best setting of the later paper uses plain dot products as similarities.
DOT_PRODUCTS = {"normalize_embeddings": False, "temperature": 10.0, "alpha": 0.2}
# The second view of each text drops some of its words (`word_dropout`), where the paper used WordNet synonyms.
VIEWS = {"num_views": 2, "view": "column"}
BY_POSITIVES = {"temperature_scaling": "positives"}
FROM_NOTHING = {"learning_rate": 1e-3, "num_train_epochs": 10}

PLAIN = {"pooling": "cls", "weighting": "none"}
HEAD = {"pooling": "cls", "weighting": "head"}
LAST = {"pooling": "last"}

SYSTEMS = {
    "rnn": System({**CE, **FROM_NOTHING}, PLAIN | LAST, baseline="rnn"),
    "gru": System({**CE, **FROM_NOTHING}, PLAIN | LAST, baseline="gru"),
    "gru-scl": System({**SCL, **FROM_NOTHING}, PLAIN | LAST, baseline="gru"),
    "gru-lcl": System({**LCL, **FROM_NOTHING}, HEAD | LAST, baseline="gru"),
    "ce": System(CE, PLAIN),
    "scl": System(SCL, PLAIN),
    "scl-two-phase": System({**SCL, "alpha": 0.0, "head_refit": True}, PLAIN),
    "scl-mean": System(SCL, {**PLAIN, "pooling": "mean"}),
    "scl-views": System({**SCL, **VIEWS}, PLAIN),
    "scl-dot": System({**SCL, **DOT_PRODUCTS}, PLAIN),
    # The lowest temperature of the later paper's grid; see "33 % on EmoInt" in the README.
    "scl-dot-0.07": System({**SCL, **DOT_PRODUCTS, "temperature": 0.07}, PLAIN),
    "scl-positives": System(SCL, PLAIN, BY_POSITIVES),
    "scl-defaults": System({"objective": "scl", **DEFAULTS}, {"weighting": "none"}),
    "lcl": System(LCL, HEAD),
    "lcl-encoder": System(LCL, {**HEAD, "weighting": "encoder"}),
    "lcl-classifier": System(LCL, {**HEAD, "weighting": "classifier"}),
    "lcl-mean": System(LCL, {**HEAD, "pooling": "mean"}),
    "lcl-views": System({**LCL, **VIEWS}, HEAD),
    "lcl-dot": System({**LCL, **DOT_PRODUCTS}, HEAD),
    "lcl-inside": System(LCL, HEAD, {"weight_placement": "inside"}),
    "lcl-positives": System(LCL, HEAD, BY_POSITIVES),
    "lcl-defaults": System({"objective": "lcl", **DEFAULTS}),
}
