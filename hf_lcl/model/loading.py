"""From a checkpoint of any kind (bare encoder, pretraining head, fine-tuned classifier) to a sequence classifier."""

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file, logging

from .architectures import check_architecture


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
    try:
        path = cached_file(name, "1_Pooling/config.json", **kwargs)
    except OSError:  # no sentence-transformers model
        return False
    pooling = json.loads(Path(path).read_text(encoding="utf-8"))
    # The second is how older versions write it.
    return pooling.get("pooling_mode") == "mean" or pooling.get("pooling_mode_mean_tokens", False)


def label_arguments(
    num_labels: int | None, id2label: dict[int, str] | None, label2id: dict[str, int] | None
) -> dict[str, Any]:
    """
    The label arguments of `from_pretrained`, checked against each other; empty where none was given.

    Raises:
        ValueError: if they disagree, or ids are missing.
    """
    if id2label is None and label2id is not None:
        id2label = {index: name for name, index in label2id.items()}
    if id2label is None:
        return {} if num_labels is None else {"num_labels": num_labels}
    id2label = {int(index): name for index, name in id2label.items()}
    inverse = {name: index for index, name in id2label.items()}
    if sorted(id2label) != list(range(len(id2label))) or len(inverse) != len(id2label):
        raise ValueError(f"id2label must name the ids 0 to {len(id2label) - 1}, each once; got {id2label}.")
    if num_labels is not None and num_labels != len(id2label):
        raise ValueError(f"num_labels={num_labels}, but id2label names {len(id2label)} classes: leave num_labels out.")
    if label2id is not None and dict(label2id) != inverse:
        raise ValueError(f"label2id={label2id} is not the inverse of id2label={id2label}: leave label2id out.")
    return {"id2label": id2label, "label2id": inverse}


def load_classifier(
    name: str | PathLike, labels: dict[str, Any], *, config: PreTrainedConfig | None = None, **kwargs: Any
) -> tuple[PreTrainedModel, bool]:
    """
    Loads a sequence classifier, and says in one line whether its head is the checkpoint's or a new one.

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
        check_architecture(config.model_type)
        if config.model_type == "lcl":
            raise ValueError(
                f"{name} is a checkpoint of a training run: go on with it by resume_from_checkpoint, or start from "
                "the classifier that trainer.save_model() wrote."
            )
        names_before = list(config.id2label.values())
        for field, value in labels.items():
            setattr(config, field, value)
        native, report = AutoModelForSequenceClassification.from_pretrained(
            name, config=config, **kwargs | {"ignore_mismatched_sizes": True, "output_loading_info": True}
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"No model can be loaded from {name}: {error}") from error
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
    _tell_about_the_head(name, report, names_before, list(config.id2label.values()))
    return native, absent > 0


def _tell_about_the_head(name: str | PathLike, report: dict[str, Any], before: list[str], now: list[str]) -> None:
    new = report["missing_keys"] | {key for key, *_ in report["mismatched_keys"]}
    layers = ", ".join(sorted({key.rpartition(".")[0] for key in new}))
    if report["mismatched_keys"]:
        logger.warning(f"{name} has a classifier for {len(before)} classes, not {len(now)}: {layers} starts anew.")
    elif new:
        logger.warning(f"{name} has no classifier: {layers} starts anew.")
    elif before == now:
        logger.warning(f"{name} has a classifier for these {len(now)} classes: it is kept.")
    else:
        logger.warning(
            f"{name} has a classifier for {len(now)} classes: it is kept, and its classes {_brief(before)} are now "
            f"called {_brief(now)}."
        )


def _brief(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else ", ".join([*names[:5], "..."])
