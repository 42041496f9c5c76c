"""A finished model from a folder or the Hub: its classifier, its tokenizer and the log of its training."""

from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from ..model.configuration import SEVERAL, LCLConfig
from ..model.modeling import LCLForSequenceClassification
from ..support.checkpoints import checkpoint_of, read_state
from ..support.files import check_weights, is_exported, read_json


def load_finished(
    name: str | Path,
    *,
    trust_remote_code: bool = False,
    revision: str | None = None,
    may_have_several_labels: bool = False,
) -> tuple[LCLForSequenceClassification, PreTrainedTokenizerBase]:
    """
    Loads a finished sequence classifier, wrapped to also return embeddings, and its tokenizer, from a folder or the
    Hub (by default branch `main`), to the device of this process. Raises a `ValueError` if there is no such model, it
    is an ONNX graph, it has no classifier or no tokenizer, it is an adapter without its training model, or it is a
    multi-label classifier and `may_have_several_labels` is not set.
    """
    options = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
    check_weights(name)
    if is_exported(Path(name)):
        raise ValueError(
            f"{name} holds an ONNX graph, which predict alone reads: name the folder that it was exported from."
        )
    try:
        model = load_training_model(Path(name)) if is_adapter(Path(name)) else _load_model(name, options)
        if model is None:
            raise ValueError(
                "it holds an adapter alone, and no checkpoint-* with its encoder: set merge_adapter=True."
            )
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        raise ValueError(f"No classifier can be loaded from {name}: {error}") from error
    # If the tokenizer files are missing, transformers creates a tokenizer with an empty vocabulary.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(f"{name} holds no tokenizer: save the one it was trained with beside it.")
    kind = model.config.text_config.problem_type or ("regression" if model.config.num_labels == 1 else None)
    if kind == SEVERAL and not may_have_several_labels:
        raise ValueError(
            f"{name} gives a text any number of labels, and this command needs one for each: predict, evaluate, "
            "report and export take such a classifier, and report --fold_thresholds f1 chooses its thresholds."
        )
    if kind not in (None, "single_label_classification", SEVERAL):
        raise ValueError(
            f"{name} is a model for {str(kind).replace('_', ' ')}: its outputs are not probabilities of mutually "
            "exclusive classes. Only classifiers with one label per text are supported here."
        )
    return model, tokenizer


def _load_model(name: str | Path, options: dict[str, Any]) -> LCLForSequenceClassification:
    if AutoConfig.from_pretrained(name, **options).model_type == LCLConfig.model_type:
        return LCLForSequenceClassification.from_pretrained(name, **options).to(PartialState().device)
    native, report = AutoModelForSequenceClassification.from_pretrained(name, output_loading_info=True, **options)
    if report["missing_keys"]:
        raise ValueError(
            f"it has no weights for {', '.join(sorted(report['missing_keys']))}, and would answer at random. Train "
            "it first: hf-lcl train --help."
        )
    return LCLForSequenceClassification.from_native(native, weighting="none").to(PartialState().device)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter of `peft` instead of a whole model."""
    return (folder / "adapter_config.json").is_file()


def is_standard(folder: Path, model: LCLForSequenceClassification) -> bool:
    """Whether the `model` of a folder is a standard classifier, not an adapter or a training model."""
    return not is_adapter(folder) and model.config.weighting == "none"


def load_training_model(folder: Path) -> LCLForSequenceClassification | None:
    """The training model in the last checkpoint of the run that a folder's model comes from; `None` without one."""
    checkpoint = checkpoint_of(folder)
    if checkpoint is None or read_json(checkpoint / "config.json")["model_type"] != LCLConfig.model_type:
        return None
    return LCLForSequenceClassification.from_pretrained(checkpoint).to(PartialState().device)


def log_history(folder: Path) -> list[dict[str, Any]]:
    """The Trainer's log in a folder or its last checkpoint; empty without one."""
    for place in (folder, checkpoint_of(folder)):
        if place is not None and (log := read_state(place).get("log_history")):
            return log
    return []
