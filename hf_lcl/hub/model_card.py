"""The card of a trained classifier: a pure function of a few facts about the run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData


TEMPLATE = Path(__file__).with_name("model_card_template.md")
# A card without this line was written or edited by hand, and stays as it is.
GENERATED = "<!-- Written by hf_lcl. Remove this line to keep your edits. -->"

OBJECTIVE_NAMES = {
    "ce": "cross-entropy",
    "scl": "cross-entropy and supervised contrastive loss",
    "lcl": "cross-entropy and label-aware contrastive loss",
}


@dataclass(frozen=True)
class CardFacts:
    """
    All that a card is made of.

    Args:
        model_name (`str`): title of the card.
        labels (`list[str]`): class names by id.
        objective (`str`): `"ce"`, `"scl"` or `"lcl"`.
        settings (`dict[str, Any]`): training arguments worth printing, by name.
        metrics (`dict[str, float]`, *optional*): results by name, without a prefix.
        split (`str`, *optional*): the split that `metrics` were measured on.
        rows (`int`, *optional*): number of texts in that split.
        base_model (`str`, *optional*): Hub id of the encoder.
        adapter (`bool`, *optional*, defaults to `False`): whether the weights are an adapter of `peft` alone.
        dataset (`str`, *optional*): Hub id of the data set.
        language (`str`, *optional*): two-letter code.
        license (`str`, *optional*): left out where it is not known.
        tags (`list[str]`, *optional*): beside those that every card gets.
    """

    model_name: str
    labels: list[str]
    objective: str
    settings: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    split: str | None = None
    rows: int | None = None
    base_model: str | None = None
    adapter: bool = False
    dataset: str | None = None
    language: str | None = None
    license: str | None = None
    tags: list[str] = field(default_factory=list)


def render_card(facts: CardFacts) -> ModelCard:
    """
    The card for `facts`. Asks no network and reads nothing but the template.

    Args:
        facts ([`CardFacts`]): what is known of the model.

    Returns:
        `huggingface_hub.ModelCard`
    """
    results = None
    if facts.metrics and facts.dataset:
        results = [
            EvalResult(
                task_type="text-classification",
                dataset_type=facts.dataset,
                dataset_name=facts.dataset,
                dataset_split=facts.split,
                metric_type=name,
                metric_value=round(value, 4),
            )
            for name, value in facts.metrics.items()
        ]
    data = ModelCardData(
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag="text-classification",
        base_model=facts.base_model,
        datasets=facts.dataset,
        language=facts.language,
        license=facts.license,
        metrics=["accuracy", "f1"] if facts.metrics else None,
        tags=["hf_lcl", "text-classification", *facts.tags],
        model_name=facts.model_name if results else None,
        eval_results=results,
    )
    return ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        generated=GENERATED,
        facts=facts,
        objective=OBJECTIVE_NAMES[facts.objective],
    )


def write_card(facts: CardFacts, directory: str | Path) -> None:
    """Renders the card to `README.md` in `directory`, unless a card written by hand stands there."""
    path = Path(directory) / "README.md"
    if path.exists() and GENERATED not in path.read_text(encoding="utf-8"):
        return
    path.write_text(str(render_card(facts)) + "\n", encoding="utf-8")
