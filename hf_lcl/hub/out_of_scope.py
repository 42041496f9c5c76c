"""Adds the class `out_of_scope` to an exported classifier, as one more row of its last layer, and removes it."""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..evaluation.calibration import fit_temperature
from ..evaluation.inference import run_model
from ..evaluation.scope import Rule
from ..model.classes import OUT_OF_SCOPE, class_names, fitted_class
from ..model.configuration import SEVERAL, LCLConfig
from ..model.modeling import LCLForSequenceClassification
from ..start.last_layer import add_class, layer_with_bias, remove_last_class, scale_logits
from ..support.files import ADAPTER_CONFIG, check_has_model, read_json
from .card import refresh_card
from .export import save_sequence_classifier


def check_out_of_scope(classifier: PreTrainedModel) -> None:
    """Raises a `ValueError` if a classifier cannot have the class `out_of_scope`, or has it already."""
    if classifier.config.problem_type == SEVERAL:
        raise ValueError("out_of_scope is for one label per text: with several, a text of no class has none of them.")
    if OUT_OF_SCOPE in class_names(classifier.config):
        raise ValueError(
            f"There is a class {OUT_OF_SCOPE} already, which is learned from texts like the others: leave "
            "--out_of_scope out, or call that class by another name."
        )
    try:
        layer_with_bias(classifier)
    except ValueError as error:
        raise ValueError(f"{str(error).partition(':')[0]}: predict --reject_below P works for every model.") from error


def check_folder(folder: Path) -> None:
    """Raises a `ValueError` if a folder holds no classifier, only an adapter, or a training model."""
    if (folder / ADAPTER_CONFIG).is_file():
        raise ValueError(f"{folder} holds an adapter, not a whole classifier: train with merge_adapter=True.")
    check_has_model(folder)
    if read_json(folder / "config.json").get("model_type") == LCLConfig.model_type:
        raise ValueError(f"{folder} holds a training model: name the folder that trainer.save_model() wrote.")


def remove_out_of_scope(model: LCLForSequenceClassification) -> bool:
    """Undoes [`add_out_of_scope`], up to rounding in the last layer. Returns whether the class was there."""
    native: Any = model.native
    fitted = fitted_class(native.config)
    if fitted is None:
        return False
    remove_last_class(native)
    scale_logits(native, fitted["temperature"])
    del native.config.out_of_scope
    _agree(model)
    return True


def _agree(model: LCLForSequenceClassification) -> None:
    """Copies the class names of the classifier inside a wrapper to the wrapper."""
    model.config.id2label, model.config.label2id = model.native.config.id2label, model.native.config.label2id


def add_out_of_scope(
    folder: str | Path,
    model: LCLForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    rule: Rule,
    validation: Dataset,
    foreign: Dataset | None = None,
    *,
    batch_size: int = 32,
) -> dict[str, Any]:
    """
    Adds a class `out_of_scope`, whose logit is the same for every text, to the exported classifier in a folder. The
    last layer is first divided by a temperature, see [`fit_temperature`].

    The `model` is that of the folder, from [`load_finished`]. It must be able to have the class
    ([`check_out_of_scope`]), must not have it yet ([`remove_out_of_scope`]), and is changed in place. The `rule`
    chooses the logit from tokenised, held-out `validation` texts, where `labels` one above the last class id mark
    texts out of scope, and from further out-of-scope texts (`foreign`).

    Returns the content of `config.out_of_scope`, which the card shows too: the `rule`, the `temperature`, the `cut`,
    the share of the `texts` validation texts that is `kept`, and the share of out-of-scope texts that is `found`.

    Raises:
        ValueError: if the folder holds no whole classifier or there are too few texts. The folder is left as it was.
    """
    folder = Path(folder)
    check_folder(folder)

    def logits_of(dataset: Dataset, what: str) -> np.ndarray:
        return run_model(model, dataset, tokenizer, batch_size=batch_size, description=what).logits

    logits, labels = logits_of(validation, "validation"), validation.with_format("numpy")["labels"][:]
    is_known = labels < logits.shape[1]
    known, others = logits[is_known], logits[~is_known]
    strangers = [others, *([] if foreign is None else [logits_of(foreign, "out of scope")])]
    rest = np.concatenate(strangers)
    rule.check(len(known), len(rest) or None)
    temperature = fit_temperature(known, labels[is_known])
    kept, found = known.max(axis=1) / temperature, rest.max(axis=1) / temperature
    cut = rule.cut(kept, found if len(found) else None)
    facts = {"rule": str(rule), "temperature": temperature, "cut": cut, "texts": len(known)}
    facts["kept"] = float((kept >= cut).mean())
    if len(found):
        facts |= {"oos_texts": len(found), "found": float((found < cut).mean())}
    scale_logits(model.native, 1 / temperature)
    add_class(model.native, OUT_OF_SCOPE, cut)
    native: Any = model.native
    native.config.out_of_scope = facts
    _agree(model)
    save_sequence_classifier(model, folder)
    refresh_card(folder)
    return facts


def describe(facts: dict[str, Any]) -> str:
    """One line on what was fitted."""
    found = (
        f"; {facts['found']:.1%} of {facts['oos_texts']:,} out-of-scope texts are found" if "found" in facts else ""
    )
    return (
        f"out of scope ({facts['rule']}): below the logit {facts['cut']:.3f}, after the temperature "
        f"{facts['temperature']:.3f}; {facts['kept']:.1%} of {facts['texts']:,} validation texts keep a class{found}"
    )
