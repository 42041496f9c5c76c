"""Loads any checkpoint (bare encoder, pretraining head, fine-tuned classifier) as a sequence classifier."""

import json
import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file, logging

from .adapters import check_no_adapter
from .classes import class_names, class_order, head_line, reorder_classes


logger = logging.get_logger(__name__)

# Arguments that locate a file on the Hub, for configurations, tokenizers and models alike.
HUB_ARGUMENTS = (
    *("revision", "token", "cache_dir", "trust_remote_code", "subfolder"),
    *("local_files_only", "force_download", "proxies"),
)
# A tokenizer without a vocabulary has the special tokens, and at most two for blanks and bytes.
FEWEST_TOKENS = 3
# Architectures with a sequence classifier in transformers that cannot be wrapped, and why.
CANNOT_BE_WRAPPED = {
    "layoutlmv2": (
        "its classifier reads the picture of a page beside every text, through a network of the detectron2 package. "
        "LayoutLM, LayoutLMv3 and LiLT also take texts alone"
    ),
}


@dataclass(frozen=True)
class StartingPoint:
    """What is known of the weights that training starts from."""

    has_new_head: bool | None = None  # whether the classifier has random weights, if known
    pools_mean: bool | None = False  # whether sentence-transformers trained the encoder with mean pooling, if known


def check_architecture(model_type: str) -> None:
    """Raises a `ValueError` with the reason for an architecture that cannot be wrapped."""
    if model_type in CANNOT_BE_WRAPPED:
        raise ValueError(f"{model_type} cannot be used: {CANNOT_BE_WRAPPED[model_type]}.")


def check_classifier(native: Any) -> None:
    """Raises a `TypeError` or a `ValueError` for anything but a sequence classifier that can be wrapped."""
    check_no_adapter(native)
    if not isinstance(native, PreTrainedModel) or "ForSequenceClassification" not in type(native).__name__:
        raise TypeError(
            f"Expected a *ForSequenceClassification of transformers, got {type(native).__name__}: load it with "
            "AutoModelForSequenceClassification.from_pretrained(...)."
        )
    check_architecture(native.config.model_type)


def hub_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those of `kwargs` that every `from_pretrained` takes."""
    return {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}


def transformer_folder(name: str | PathLike) -> str:
    """The folder of the transformer in an older sentence-transformers folder (`0_Transformer`), else `name`."""
    modules = Path(name) / "modules.json"
    if not modules.is_file():
        return str(name)
    first = json.loads(modules.read_text(encoding="utf-8"))[0]
    return str(Path(name) / first["path"]) if first["path"] else str(name)


def _file(name: str | PathLike, file: str, **kwargs: Any) -> Path | None:
    try:
        path = cached_file(name, file, **kwargs)
    except OSError:
        return None
    return None if path is None else Path(path)


def pools_mean(name: str | PathLike, **kwargs: Any) -> bool | None:
    """
    Whether sentence-transformers trained the encoder in a folder or on the Hub with mean pooling. `None` for one of
    their encoders without its pooling configuration, as in a cache filled by plain transformers.
    """
    path = _file(name, "1_Pooling/config.json", **kwargs)
    if path is None:
        return None if str(name).startswith("sentence-transformers/") else False
    pooling = json.loads(path.read_text(encoding="utf-8"))
    # Older versions write the second key.
    return pooling.get("pooling_mode") == "mean" or pooling.get("pooling_mode_mean_tokens", False)


def find_tokenizer(name: str | PathLike, **kwargs: Any) -> PreTrainedTokenizerBase | None:
    """The tokenizer saved with a model that pools by the mean; `None`, with a warning, if there is none."""
    name = transformer_folder(name)
    # For a folder without a tokenizer, `AutoTokenizer` makes one with special tokens only, or fails.
    if _file(name, "tokenizer_config.json", **kwargs) is not None:
        return AutoTokenizer.from_pretrained(name, **kwargs)
    logger.warning(
        f"There is no tokenizer in {name}: the mean is taken over special tokens too, until "
        "set_special_tokens(tokenizer) or a trainer with the tokenizer tells which they are."
    )
    return None


def check_tokenizer(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises a `ValueError` for a tokenizer with more tokens than the model has embeddings, or only special ones."""
    vocab_size = getattr(config.get_text_config(), "vocab_size", None)  # CANINE has none
    if vocab_size is not None and len(tokenizer) > vocab_size:
        raise ValueError(
            f"The tokenizer has {len(tokenizer)} tokens, but the model has {vocab_size} token embeddings: use the "
            f"model's own tokenizer, or call model.resize_token_embeddings({len(tokenizer)})."
        )
    if len(tokenizer) - len(set(tokenizer.all_special_ids)) < FEWEST_TOKENS:
        raise ValueError(
            f"The tokenizer has {len(tokenizer)} tokens, the special ones: the folder that it was loaded from "
            f"({tokenizer.name_or_path}) holds no vocabulary. Load the tokenizer that belongs to the model."
        )


def _sets_dtype(config: PreTrainedConfig, options: dict[str, Any]) -> bool:
    """Whether options of `from_pretrained` set a dtype (formerly `torch_dtype`), or need one of their own."""
    is_quantised = "quantization_config" in options or hasattr(config, "quantization_config")
    is_flash = str(options.get("attn_implementation")).startswith("flash_attention")
    return is_quantised or is_flash or not {"dtype", "torch_dtype"}.isdisjoint(options)


def load_classifier(
    name: str | PathLike, labels: dict[str, Any], *, config: PreTrainedConfig | None = None, **kwargs: Any
) -> tuple[PreTrainedModel, StartingPoint]:
    """
    Loads a sequence classifier from the Hub or a folder, with the `labels` of [`label_arguments`], and logs whether
    its head is the checkpoint's or a new one. `kwargs` are those of `from_pretrained`; `dtype` defaults to float32,
    since steps of training are lost in the rounding of float16 and bfloat16 weights, but not for quantised weights and
    flash attention, which need others.

    A head for the same number of classes is kept. Each class gets the row of the checkpoint's class of the same name,
    if there is one; the remaining rows keep their order.

    Raises:
        ValueError: if there is no model under that name, it is a checkpoint of [`ContrastiveTrainer`], or its weights
            do not fit its configuration.
    """
    where = hub_arguments(kwargs)
    is_mean = pools_mean(name, **where)
    name = transformer_folder(name)
    try:
        if config is None:
            config = AutoConfig.from_pretrained(name, **where)
        check_architecture(config.model_type)
        if not _sets_dtype(config, kwargs):
            kwargs["dtype"] = torch.float32
        if config.model_type == "lcl":
            raise ValueError(
                "it is a checkpoint of a training run. Go on with it by resume_from_checkpoint, or start from the "
                "classifier that trainer.save_model() wrote."
            )
        names_before = class_names(config)
        for field, value in labels.items():
            setattr(config, field, value)
        native, report = AutoModelForSequenceClassification.from_pretrained(
            name, config=config, **kwargs | {"ignore_mismatched_sizes": True, "output_loading_info": True}
        )
        absent, total = len(report["missing_keys"]) + len(report["mismatched_keys"]), len(native.state_dict())
        faults = [f"{absent} of the {total} weights of a {type(native).__name__} are missing"] * (2 * absent > total)
        faults += [
            f"{key} has the shape {tuple(found)}, not {tuple(expected)}"
            for key, found, expected in sorted(report["mismatched_keys"])
            # A head for another number of classes differs in that number only.
            if any(old != new != config.num_labels for old, new in zip(found, expected, strict=True))
        ]
        if faults:
            raise ValueError(f"its config.json and its weights do not belong together, {faults[0]}.")
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error)
        if _file(name, "adapter_config.json", **where) is not None:
            reason = (
                "it holds an adapter. Start from the plain encoder with peft_config=LoraConfig(...), or merge the "
                "adapter first, PeftModel.from_pretrained(...).merge_and_unload()"
            )
        raise ValueError(f"No model can be loaded from {name}: {reason}") from error
    if absent == 0:
        reorder_classes(native, class_order(names_before, class_names(config)))
    if os.environ.get("RANK", "0") == "0":  # said once, not by each process
        logger.warning(head_line(name, report, names_before, class_names(config)))
    return native, StartingPoint(has_new_head=absent > 0, pools_mean=is_mean)
