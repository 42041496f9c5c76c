"""The card of a trained classifier: a pure function of facts about the run."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, StrictUndefined, Template
from transformers.utils import logging

from ..evaluation.intervals import share_interval
from ..losses.objective import NAMES_TEMPERATURE
from ..model.configuration import SEVERAL
from ..support.files import read_json, write_whole
from .card_facts import CardFacts, with_report
from .card_merging import GENERATED, merged, only_parts, parse_card, sealed
from .contents import CARD, hub_id


TEMPLATE = Path(__file__).with_name("card.md")
OBJECTIVE_NAMES = {
    "ce": "cross-entropy",
    "scl": "cross-entropy and supervised contrastive loss",
    "lcl": "cross-entropy and label-aware contrastive loss",
}
# Characters that begin HTML, an entity, code, a formula or a link become entities. Other markup is escaped, except the
# _ in snake_case.
ENTITIES = re.compile(r"[&<>`$\\]|:(?=//)|(?<=\bwww)\.")
ESCAPES = re.compile(r"[*|~\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# The row of the seed in a card's table of arguments.
SEED = re.compile(r"^\| seed \| (\d+) \|$", re.MULTILINE)

logger = logging.get_logger(__name__)


def render_card(facts: CardFacts) -> ModelCard:
    """
    The card for `facts`, in parts between marks, see [`card_merging.merged`]. Needs no network.

    Args:
        facts ([`CardFacts`]): a base model or data set that is not a Hub id, such as a folder, is left out.

    Returns:
        `huggingface_hub.ModelCard`

    Example:

    ```python
    >>> from hf_lcl.hub import CardFacts, render_card

    >>> card = render_card(CardFacts("me/feelings", labels=["glad", "sad"], objective="ce", settings={"seed": 0}))
    >>> card.data.pipeline_tag
    'text-classification'
    ```
    """
    base_model, dataset = hub_id(facts.base_model), hub_id(facts.dataset)
    data = _metadata(facts, base_model, dataset)
    text = _template().render(
        card_data=Raw(data.to_yaml()),
        generated=Raw(GENERATED),
        facts=facts,
        base_model=base_model,
        dataset=dataset,
        objective=facts.objective and OBJECTIVE_NAMES[facts.objective],
        splits=list(dict.fromkeys([*facts.splits, *facts.fingerprints])),
        trust=", trust_remote_code=True" if facts.remote_code else "",
        names_temperature=NAMES_TEMPERATURE,
    )
    return sealed(ModelCard(text))


@cache
def _template() -> Template:
    # Inserted values may come from anybody, so all of them are escaped, except Raw ones.
    environment = Environment(undefined=StrictUndefined, finalize=_escaped)
    environment.filters |= {"bold": _bold, "code": _code, "duration": _duration, "number": _number, "prose": _prose}
    environment.filters |= {"within": _within, "share_of": _share_of, "half_width": _half_width}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def write_card(facts: CardFacts, directory: str | Path) -> None:
    """
    Writes the card to `README.md` in an existing folder, with the results of the report in that folder. Manual changes
    to an existing card are kept. An error is logged as a warning and does not stop the run.
    """
    path = Path(directory) / CARD
    with _faults_logged(path):
        card = render_card(with_report(facts, directory))
        text = merged(path.read_text(encoding="utf-8"), card) if path.exists() else str(card)
        write_whole(path, text)


def refresh_card(directory: str | Path) -> None:
    """
    Updates the card that [`write_card`] wrote in `directory`, if any: the classes of the classifier there, and the
    results and pictures of its report. All other parts are kept.
    """
    path = Path(directory) / CARD
    with _faults_logged(path):
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if GENERATED not in old:
            return
        data = parse_card(old).data
        seed, config = SEED.search(old), read_json(Path(directory) / "config.json")
        datasets, results = data.get("datasets"), data.get("eval_results")
        facts = CardFacts(
            model_name=data.get("model_name") or Path(directory).absolute().name,
            labels=[],
            seeds=[int(seed[1])] if seed else [],
            dataset=datasets[0] if isinstance(datasets, list) else datasets,
            dataset_revision=results[0].dataset_revision if results else None,
            several_labels=config.get("problem_type") == SEVERAL,
            thresholds=config.get("folded_thresholds") or {},
            temperature=config.get("folded_temperature"),
        )
        facts = with_report(facts, directory)
        new = render_card(facts)
        of_results = ("metrics", "model-index")
        kept = {name: value for name, value in data.to_dict().items() if name not in of_results}
        found = {name: value for name, value in new.data.to_dict().items() if name in of_results}
        parts = ("results", "pictures", *(("labels", "limits") if facts.labels else ()))
        new = only_parts(new, parts, metadata=kept | found)
        write_whole(path, merged(old, new))


@contextmanager
def _faults_logged(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # an error in the card must not lose the model
        reason = " ".join(str(error).split())
        logger.warning_once(f"The model card {path} was not written: {type(error).__name__}: {reason}")


def _metadata(facts: CardFacts, base_model: str | None, dataset: str | None) -> ModelCardData:
    results = []
    for name, value in facts.metrics.items():
        fingerprint = facts.fingerprints.get(facts.split or "")
        local = f"own data, fingerprint {fingerprint}" if fingerprint else "own data"
        average = name.removesuffix("_f1") if name.endswith("_f1") else None
        results.append(
            EvalResult(
                task_type="text-classification",
                task_name="Text classification",
                dataset_type=dataset or "unknown",
                dataset_name=facts.dataset_title or dataset or local,
                dataset_split=facts.split,
                dataset_revision=facts.dataset_revision if dataset else None,
                # The Hub has one metric f1, with the kind of average as an argument.
                metric_type="f1" if average else name,
                metric_name=f"{average.capitalize()} F1" if average else None,
                metric_args={"average": average} if average else None,
                metric_value=round(value, 4),
            )
        )
    data = ModelCardData(
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag="text-classification",
        base_model=base_model,
        datasets=[dataset] if dataset else None,
        language=facts.language,
        license=facts.license,
        metrics=["accuracy", "f1"] if facts.metrics else None,
        tags=["hf_lcl", "text-classification", *["custom_code"] * facts.remote_code, *facts.tags],
        model_name=facts.model_name if results else None,
        eval_results=results or None,
    )
    if facts.widget_texts:
        data["widget"] = [{"text": text} for text in facts.widget_texts]
    if base_model:
        data["base_model_relation"] = "adapter" if facts.adapter else "finetune"
    return data


class Raw(str):
    """Markdown that needs no escaping."""


def _escaped(value: Any) -> str:
    """A text on one line without HTML, part marks, links, pictures, code and formulas."""
    if isinstance(value, Raw):
        return value
    text = ENTITIES.sub(lambda match: f"&#{ord(match[0])};", " ".join(str(value).split()))
    return ESCAPES.sub(r"\\\g<0>", text)


def _prose(value: str) -> Raw:
    """A sentence of the author, which may contain links, but no HTML."""
    return Raw(" ".join(value.split()).replace("<", "&lt;"))


def _code(value: str) -> Raw:
    """A Python string inside a code block."""
    return Raw(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _within(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.4f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _share_of(part: float, texts: float) -> str:
    low, high = share_interval(round(part), round(texts))
    return f"{part / texts:.1%} ({low:.0%} to {high:.0%})"


def _half_width(texts: int) -> str:
    """Half the width of the interval of an accuracy on `texts` texts, which is widest at one half."""
    low, high = share_interval(round(texts / 2), texts)
    return f"{(high - low) / 2:.3f}"


def _bold(text: str, condition: bool) -> str:
    return Raw(f"**{text}**") if condition and text else text


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
