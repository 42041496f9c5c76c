"""LoRA and its kin: a few trainable weights inside a frozen encoder, by way of the `peft` library."""

import copy
from types import ModuleType
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel


if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel


def _import_peft() -> ModuleType:
    try:  # not by `hf_lcl.extras`: this folder travels alone
        import peft
    except ModuleNotFoundError as error:
        raise ImportError('peft is not installed: pip install "hf_lcl[peft]"') from error
    return peft


def head_modules(native: PreTrainedModel) -> list[str]:
    """
    Names of the modules that an adapter must not leave frozen: the classifier's own, and the pooler that it reads.

    Both may start from random weights, and a frozen random head is a lost one.

    Args:
        native (`PreTrainedModel`): a sequence classifier.
    """
    names = [name for name, module in native.named_children() if module is not native.base_model]
    # Modules without parameters (a dropout) have nothing to train.
    names = [name for name in names if any(True for _ in native.get_submodule(name).parameters())]
    return names + [name for name, _ in native.base_model.named_children() if name == "pooler"]


def adapter_settings(native: PreTrainedModel, peft_config: "PeftConfig") -> dict[str, Any]:
    """
    An adapter's configuration as it is kept in [`LCLConfig`]: JSON types only, the head among the modules to train.

    Args:
        native (`PreTrainedModel`): the sequence classifier that it is for.
        peft_config (`PeftConfig`): the user's, left as it is.

    Raises:
        TypeError: if `peft_config` is no configuration of `peft`.
        ValueError: for prompt learning, which changes the inputs instead of the layers and has no merged classifier.
    """
    peft = _import_peft()
    if not isinstance(peft_config, peft.PeftConfig):
        raise TypeError(f"peft_config is a {type(peft_config).__name__}: use peft.LoraConfig(...).")
    if peft_config.is_prompt_learning:
        raise ValueError(
            f"{type(peft_config).__name__} learns a prompt, which cannot be part of a standard classifier: use "
            "peft.LoraConfig(...)."
        )
    settings = {
        name: sorted(value) if isinstance(value, set) else value for name, value in peft_config.to_dict().items()
    }
    settings["task_type"] = "SEQ_CLS"
    settings["modules_to_save"] = sorted({*(settings.get("modules_to_save") or ()), *head_modules(native)})
    return settings


def insert_adapter(native: PreTrainedModel, settings: dict[str, Any]) -> "PeftModel":
    """
    Puts an adapter into the layers of a classifier, and freezes everything else but its head.

    Args:
        native (`PreTrainedModel`): changed in place; it stays the same object of the same class.
        settings (`dict[str, Any]`): what [`adapter_settings`] returned.

    Returns:
        `PeftModel`: peft's view of it, which saves and merges the adapter.
    """
    peft = _import_peft()
    return peft.get_peft_model(native, peft.PeftConfig.from_peft_type(**settings))


def merged_copy(adapted: "PeftModel") -> PreTrainedModel:
    """
    The ordinary classifier that computes what an adapted one does.

    Args:
        adapted (`PeftModel`): left as it is, so that training can go on.

    Returns:
        `PreTrainedModel`: a copy with the adapter added to its weights.
    """
    return copy.deepcopy(adapted).merge_and_unload()
