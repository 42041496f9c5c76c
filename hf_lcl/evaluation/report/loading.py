"""What lies in the folder of a finished model: the classifier, the training model in its checkpoint, and the log."""

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig
from transformers.trainer_utils import get_last_checkpoint

from ...configuration import LCLConfig
from ...modeling import LCLForSequenceClassification


def load_config(folder: Path, trust_remote_code: bool = False) -> PreTrainedConfig:
    """The configuration of the model in a folder."""
    return AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter of `peft` instead of a whole model."""
    return (folder / "adapter_config.json").is_file()


def load_model(folder: Path, trust_remote_code: bool = False) -> LCLForSequenceClassification:
    """
    The model of a folder on the device of this process, wrapped so that it gives embeddings too. A standard classifier
    has no weighting network.

    Raises:
        ValueError: for an adapter without its training model.
    """
    if is_adapter(folder):
        model = load_training_model(folder)
        if model is None:
            raise ValueError(
                f"{folder} holds an adapter alone, and no checkpoint-* with its encoder: save the merged classifier "
                "(merge_adapter=True)."
            )
        return model
    if load_config(folder, trust_remote_code).model_type == LCLConfig.model_type:
        return LCLForSequenceClassification.from_pretrained(folder).to(PartialState().device)
    native = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=trust_remote_code)
    return LCLForSequenceClassification.from_native(native, weighting="none").to(PartialState().device)


def load_training_model(folder: Path) -> LCLForSequenceClassification | None:
    """The training model of the last checkpoint in a folder, or `None` where there is none."""
    checkpoint = get_last_checkpoint(folder)
    if checkpoint is None or not (Path(checkpoint) / "config.json").is_file():
        return None
    settings = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    if settings["model_type"] != LCLConfig.model_type:
        return None
    return LCLForSequenceClassification.from_pretrained(checkpoint).to(PartialState().device)


def log_history(folder: Path) -> list[dict[str, Any]]:
    """What the Trainer logged, out of the folder or its last checkpoint; empty where it did not."""
    for place in (folder, get_last_checkpoint(folder)):
        if place is not None and (Path(place) / "trainer_state.json").is_file():
            return json.loads((Path(place) / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return []
