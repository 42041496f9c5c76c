"""The card of a trained classifier: a pure function of a few facts about the run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from jinja2 import Environment, StrictUndefined
from transformers.utils import logging

from ..files import write_whole
from .card_facts import CardFacts, with_report
from .card_merging import GENERATED, merged, only_parts, sealed


__all__ = ["GENERATED", "CardFacts", "refresh_card", "render_card", "write_card"]

TEMPLATE = Path(__file__).with_name("card.md")
OBJECTIVE_NAMES = {
    "ce": "cross-entropy",
    "scl": "cross-entropy and supervised contrastive loss",
    "lcl": "cross-entropy and label-aware contrastive loss",
}
METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
# What the Hub calls them.
METRIC_TYPES = {
    "macro_f1": {"metric_type": "f1", "metric_name": "Macro F1", "metric_args": {"average": "macro"}},
    "weighted_f1": {"metric_type": "f1", "metric_name": "Weighted F1", "metric_args": {"average": "weighted"}},
}
# As a card's table of arguments names it.
SEED = re.compile(r"^\| seed \| (\d+) \|$", re.MULTILINE)

logger = logging.get_logger(__name__)


def render_card(facts: CardFacts) -> ModelCard:
    """
    The card for `facts`. Asks no network and reads nothing but the template.

    Args:
        facts ([`CardFacts`]): what is known of the model. A base model or a data set that is no Hub id, such as a
            folder, is left out.

    Returns:
        `huggingface_hub.ModelCard`: parts between marks, see [`card_merging.merged`].

    Example:

    ```python
    >>> from hf_lcl.hub import CardFacts, render_card

    >>> card = render_card(CardFacts("me/feelings", labels=["glad", "sad"], objective="ce", settings={"seed": 0}))
    >>> card.data.pipeline_tag
    'text-classification'
    ```
    """
    base_model, dataset = _hub_id(facts.base_model), _hub_id(facts.dataset)
    data = _metadata(facts, base_model, dataset)
    environment = Environment(undefined=StrictUndefined)
    environment.filters |= {"bold": _bold, "cell": _cell, "duration": _duration, "number": _number}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        card_data=data.to_yaml(),
        generated=GENERATED,
        facts=facts,
        base_model=base_model,
        dataset=dataset,
        objective=OBJECTIVE_NAMES[facts.objective],
        metric_names=METRIC_NAMES,
        splits=list(dict.fromkeys([*facts.splits, *facts.fingerprints])),
        trust=", trust_remote_code=True" if facts.remote_code else "",
    )
    return sealed(ModelCard(text))


def write_card(facts: CardFacts, directory: str | Path) -> None:
    """
    Writes the card to `README.md` in `directory`, with the results of the report on the model in it. What was written
    or changed by hand there stays, and no fault in writing a card ends a run: it is logged.

    Args:
        facts ([`CardFacts`]): what is known of the model.
        directory (`str` or `Path`): an existing folder.
    """
    path = Path(directory) / "README.md"
    with _faults_logged(path):
        card = render_card(with_report(facts, directory))
        text = merged(path.read_text(encoding="utf-8"), card) if path.exists() else str(card)
        write_whole(path, text)


def refresh_card(directory: str | Path) -> None:
    """
    Puts the results and pictures of the report on the model in `directory` into its card, where [`write_card`] wrote
    one; all other parts stay as they are.
    """
    path = Path(directory) / "README.md"
    with _faults_logged(path):
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if GENERATED not in old:
            return
        data = ModelCard(old, ignore_metadata_errors=True).data
        seed = SEED.search(old)
        facts = CardFacts(
            model_name=data.model_name or Path(directory).absolute().name,
            labels=[],
            objective="ce",
            settings={},
            seeds=[int(seed[1])] if seed else [],
            dataset=data.datasets[0] if isinstance(data.datasets, list) else data.datasets,
            dataset_revision=data.eval_results[0].dataset_revision if data.eval_results else None,
        )
        new = render_card(with_report(facts, directory))
        results = {name: value for name, value in new.data.to_dict().items() if name in ("metrics", "model-index")}
        results = only_parts(new, ("results", "pictures"), metadata=data.to_dict() | results)
        write_whole(path, merged(old, results))


@contextmanager
def _faults_logged(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of any kind: the model is worth more than its card
        logger.warning(f"The model card {path} was not written: {type(error).__name__}: {error}")


def _metadata(facts: CardFacts, base_model: str | None, dataset: str | None) -> ModelCardData:
    results = None
    if facts.metrics:
        fingerprint = facts.fingerprints.get(facts.split)
        local = f"own data, fingerprint {fingerprint}" if fingerprint else "own data"
        results = [
            EvalResult(
                task_type="text-classification",
                task_name="Text classification",
                dataset_type=dataset or "unknown",
                dataset_name=facts.dataset_title or dataset or local,
                dataset_split=facts.split,
                dataset_revision=facts.dataset_revision if dataset else None,
                metric_value=round(value, 4),
                **METRIC_TYPES.get(name, {"metric_type": name}),
            )
            for name, value in facts.metrics.items()
        ]
    relation = {"base_model_relation": "adapter" if facts.adapter else "finetune"} if base_model else {}
    return ModelCardData(
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag="text-classification",
        base_model=base_model,
        datasets=[dataset] if dataset else None,
        language=facts.language,
        license=facts.license,
        metrics=["accuracy", "f1"] if facts.metrics else None,
        tags=["hf_lcl", "text-classification", *["custom_code"] * facts.remote_code, *facts.tags],
        model_name=facts.model_name if results else None,
        eval_results=results,
        **relation,
    )


def _hub_id(name: str | None) -> str | None:
    """`name`, if the Hub could know it: a folder says nothing to a reader, and is nobody's business."""
    try:
        validate_repo_id(name or "")
    except HFValidationError:
        return None
    return name


def _cell(value: Any) -> str:
    """Inside a table and outside of HTML."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _bold(text: str, condition: bool) -> str:
    return f"**{text}**" if condition and text else text


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
