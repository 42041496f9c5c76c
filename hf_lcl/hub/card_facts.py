"""What a card says about a model."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..evaluation.intervals import share_interval
from ..evaluation.summary import read_summary
from ..model.classes import OUT_OF_SCOPE
from ..support.files import read_json


# Class names in emotion data sets.
_EMOTION_NAMES = """
admiration afraid amused amusement anger angry annoyance annoyed anticipating anticipation anxious apprehensive
approval ashamed caring confident confusion content curiosity desire despair devastated disappointed disappointment
disapproval disgust disgusted embarrassed embarrassment envious excited excitement faithful fear furious glad grateful
gratitude grief guilty happiness happy hopeful impressed jealous joy joyful lonely love nervousness neutral nostalgic
optimism pride prepared proud realization relief remorse sad sadness sentimental shame surprise surprised terrified
trust trusting
"""
EMOTIONS = frozenset(_EMOTION_NAMES.split())


@dataclass(frozen=True)
class CardFacts:
    """
    The facts that a card is rendered from. Unknown ones are left out of the card.

    Example:

    ```python
    >>> from hf_lcl.hub import CardFacts

    >>> CardFacts("me/feelings", labels=["glad", "sad"], metrics={"accuracy": 0.9}, split="test").names_emotions
    True
    ```
    """

    model_name: str  # title of the card
    labels: list[str]  # class names by id
    objective: str | None = None  # "ce", "scl" or "lcl"
    settings: dict[str, Any] = field(default_factory=dict)  # training arguments by name, see `training_settings`
    # The results: metrics by name without prefix, the split, its number of texts, and the seeds of the averaged runs.
    metrics: dict[str, float] = field(default_factory=dict)
    split: str | None = None
    rows: int | None = None
    seeds: list[int] = field(default_factory=list)
    # The calibration error `error_before`; with a `temperature` also `error_after`, and whether it is `folded` in.
    calibration: dict[str, Any] = field(default_factory=dict)
    per_class: list[dict[str, Any]] = field(default_factory=list)  # see `per_class_table`
    confused_pairs: list[dict[str, Any]] = field(default_factory=list)  # fields of `ConfusedPair`
    # The class `out_of_scope`: how it was fitted, see `add_out_of_scope`, and `scope_table` of the scores.
    out_of_scope: dict[str, Any] = field(default_factory=dict)
    scope: list[dict[str, Any]] = field(default_factory=list)
    selective: dict[str, Any] = field(default_factory=dict)  # `aurc`, and the rows of `cut_table`
    # 95 % intervals of the metrics over the texts, and baselines on the same texts: name to `metrics` and `intervals`.
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)  # title to file name next to the card
    # Whether a text may have several labels, and the threshold of each label that was folded in, so that 0.5 decides.
    several_labels: bool = False
    thresholds: dict[str, float] = field(default_factory=dict)
    temperature: float | None = None  # by which the logits were divided after training
    # The model: Hub id of the encoder, whether only a `peft` adapter was saved, whether loading runs code of its
    # repository.
    base_model: str | None = None
    base_license: str | None = None
    adapter: bool = False
    remote_code: bool = False
    # The data set: Hub id, readable name, commit, sentences about its rows and licence, and publication.
    dataset: str | None = None
    dataset_title: str | None = None
    dataset_revision: str | None = None
    data_notes: list[str] = field(default_factory=list)
    data_citation: str | None = None
    splits: dict[str, int] = field(default_factory=dict)  # number of texts
    fingerprints: dict[str, str] = field(default_factory=dict)  # of the tokens and labels, by split
    # The training: see `evaluation_curve`; the step of the saved weights, if it is not the last; time, without
    # evaluation and saving if that is known; package versions.
    curve: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    hardware: str | None = None
    training_seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    language: str | None = None  # two-letter code
    license: str | None = None
    tags: list[str] = field(default_factory=list)  # in addition to those of every card
    widget_texts: list[str] = field(default_factory=list)  # examples on the page of the Hub, so no private texts

    @property
    def sure_metrics(self) -> dict[str, tuple[float, float]]:
        """The intervals of the metrics that have one; that of an accuracy is computed from the number of texts."""
        found = dict(self.intervals)
        for name in ("accuracy", "subset_accuracy"):
            if self.rows and 0 <= self.metrics.get(name, -1) <= 1:
                found.setdefault(name, share_interval(round(self.metrics[name] * self.rows), self.rows))
        return {name: found[name] for name in self.metrics if name in found}

    @property
    def names_emotions(self) -> bool:
        """Whether most classes are emotions; the card then has a warning."""
        return sum(label.lower() in EMOTIONS for label in self.labels) > len(self.labels) / 2


def with_report(facts: CardFacts, output_dir: str | Path) -> CardFacts:
    """
    Completes the facts with the results of the report in a folder, if it is about the weights there, and with the
    class `out_of_scope` of the classifier there.

    Results of the report replace other results, which may be a mean of several runs. `baselines` that were measured on
    another split are left out.
    """
    config = Path(output_dir) / "config.json"
    settings = read_json(config) if config.is_file() else {}
    names = [settings["id2label"][index] for index in sorted(settings.get("id2label", ()), key=int)]
    if not facts.labels or OUT_OF_SCOPE in names:  # which the training model lacks
        fitted = settings.get(OUT_OF_SCOPE) if OUT_OF_SCOPE in names else None
        facts = replace(facts, labels=names, out_of_scope=fitted or {})
    summary = read_summary(output_dir)
    if summary is None:
        return facts
    summary["fingerprints"] = facts.fingerprints | summary["fingerprints"]
    summary["splits"] = facts.splits | {summary["split"]: summary["rows"]}
    summary.setdefault("baselines", facts.baselines if summary["split"] == facts.split else {})
    return replace(facts, seeds=facts.seeds if len(facts.seeds) == 1 else [], **summary)
