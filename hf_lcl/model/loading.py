"""From a checkpoint of any kind (bare encoder, pretraining head, fine-tuned classifier) to a sequence classifier."""

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

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

from .classes import class_names, class_order, head_line, reorder_classes


logger = logging.get_logger(__name__)

# What says where on the Hub a file is, for configurations, tokenizers and models alike.
HUB_ARGUMENTS = (
    "revision",
    "token",
    "cache_dir",
    "trust_remote_code",
    "subfolder",
    "local_files_only",
    "force_download",
    "proxies",
)

# An empty tokenizer of transformers has the special tokens, and at most two of blanks and bytes.
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
    """
    What is known of the weights that training starts from.

    Args:
        has_new_head (`bool`): whether the classifier has random weights, so that nothing is lost by fitting it.
        pools_mean (`bool`): whether the encoder was trained, by sentence-transformers, to speak by the mean of its
            tokens.
    """

    has_new_head: bool = False
    pools_mean: bool = False


def check_architecture(model_type: str) -> None:
    """
    Refuses an architecture that cannot be wrapped.

    Args:
        model_type (`str`): `config.model_type` of a sequence classifier.

    Raises:
        ValueError: with the reason.
    """
    if model_type in CANNOT_BE_WRAPPED:
        raise ValueError(f"{model_type} cannot be used: {CANNOT_BE_WRAPPED[model_type]}.")


def hub_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those of `kwargs` that every `from_pretrained` takes."""
    return {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}


def transformer_folder(name: str | PathLike) -> str:
    """
    Where the transformer lies in a sentence-transformers folder of the older layout (`0_Transformer`).

    Args:
        name (`str` or `os.PathLike`): a Hub id or a folder of any kind.

    Returns:
        `str`: the folder of the transformer, or `name` as it is for everything else.
    """
    modules = Path(name) / "modules.json"
    if not modules.is_file():
        return str(name)
    first = json.loads(modules.read_text(encoding="utf-8"))[0]
    return str(Path(name) / first["path"]) if first["path"] else str(name)


def pools_mean(name: str | PathLike, **kwargs: Any) -> bool:
    """
    Whether sentence-transformers trained this encoder with mean pooling.

    Args:
        name (`str` or `os.PathLike`): a Hub id or a folder of any kind.
        **kwargs: what says where on the Hub a file is.
    """
    path = _file(name, "1_Pooling/config.json", **kwargs)
    if path is None:  # no sentence-transformers model
        return False
    pooling = json.loads(path.read_text(encoding="utf-8"))
    # The second is how older versions write it.
    return pooling.get("pooling_mode") == "mean" or pooling.get("pooling_mode_mean_tokens", False)


def find_tokenizer(name: str | PathLike, **kwargs: Any) -> PreTrainedTokenizerBase | None:
    """
    The tokenizer beside a model, or `None`.

    Args:
        name (`str` or `os.PathLike`): a Hub id or a folder.
        **kwargs: what says where on the Hub a file is.
    """
    # Of a folder without a tokenizer, `AutoTokenizer` makes one that knows special tokens alone, or fails.
    if _file(name, "tokenizer_config.json", **kwargs) is None:
        return None
    return AutoTokenizer.from_pretrained(name, **kwargs)


def check_tokenizer(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """
    Refuses a tokenizer whose token ids the model cannot look up.

    Args:
        config (`PreTrainedConfig`): the model's.
        tokenizer (`PreTrainedTokenizerBase`): the one that makes its inputs.

    Raises:
        ValueError: if the tokenizer has more tokens than the model has embeddings, or special tokens alone.
    """
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


def _file(name: str | PathLike, file: str, **kwargs: Any) -> Path | None:
    try:
        path = cached_file(name, file, **kwargs)
    except OSError:
        return None
    return None if path is None else Path(path)


def load_classifier(
    name: str | PathLike, labels: dict[str, Any], *, config: PreTrainedConfig | None = None, **kwargs: Any
) -> tuple[PreTrainedModel, bool]:
    """
    Loads a sequence classifier, and says in one line whether its head is the checkpoint's or a new one.

    A head for as many classes is kept. Where the checkpoint has a class of the same name, the class gets that row of
    it, whatever the order; the other rows follow in theirs.

    Args:
        name (`str` or `os.PathLike`): a Hub id or a folder.
        labels (`dict[str, Any]`): what [`label_arguments`] returned.
        config (`PreTrainedConfig`, *optional*): used instead of the checkpoint's own.
        **kwargs: passed on to `AutoModelForSequenceClassification.from_pretrained`.

    Returns:
        `tuple[PreTrainedModel, bool]`: a `*ForSequenceClassification`, and whether its head is a new one, as it is
        where the checkpoint has none, or one for another number of classes.

    Raises:
        ValueError: if there is no model under that name, it is a checkpoint of [`ContrastiveTrainer`], or its weights
            do not fit its configuration.
    """
    try:
        if config is None:
            config = AutoConfig.from_pretrained(name, **hub_arguments(kwargs))
    except (OSError, ValueError) as error:
        raise _no_model(name, error, **hub_arguments(kwargs)) from error
    check_architecture(config.model_type)
    if config.model_type == "lcl":
        raise ValueError(
            f"{name} is a checkpoint of a training run: go on with it by resume_from_checkpoint, or start from the "
            "classifier that trainer.save_model() wrote."
        )
    names_before = class_names(config)
    for field, value in labels.items():
        setattr(config, field, value)
    try:
        native, report = AutoModelForSequenceClassification.from_pretrained(
            name, config=config, **kwargs | {"ignore_mismatched_sizes": True, "output_loading_info": True}
        )
    except (OSError, SafetensorError) as error:
        raise _no_model(name, error, **hub_arguments(kwargs)) from error
    absent = len(report["missing_keys"]) + len(report["mismatched_keys"])
    if 2 * absent > len(native.state_dict()):
        raise ValueError(
            f"{name} lacks {absent} of the {len(native.state_dict())} weights of a {type(native).__name__}: its "
            "config.json and its weights do not belong together."
        )
    for key, found, expected in report["mismatched_keys"]:
        # A head for another number of classes differs in that number and in nothing else.
        if any(old != new and new != config.num_labels for old, new in zip(found, expected, strict=True)):
            raise ValueError(
                f"{key} in {name} has the shape {tuple(found)}, its config.json says {tuple(expected)}: the files do "
                "not belong together."
            )
    if absent == 0:
        reorder_classes(native, class_order(names_before, class_names(config)))
    logger.warning(head_line(name, report, names_before, class_names(config)))
    return native, absent > 0


def _no_model(name: str | PathLike, error: Exception, **kwargs: Any) -> ValueError:
    if _file(name, "adapter_config.json", **kwargs) is not None:
        error = ValueError(
            "it holds an adapter. Start from the plain encoder with peft_config=LoraConfig(...), or merge the adapter "
            "first, PeftModel.from_pretrained(...).merge_and_unload()"
        )
    return ValueError(f"No model can be loaded from {name}: {error}")
