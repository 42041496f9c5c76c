"""LoRA and other adapters of the `peft` library: a few trainable weights inside a frozen encoder."""

import copy
import re
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import cached_file

from .probing import probe_logits


# The types of `peft` are `Any` here: transformers asks for each library that the code of a checkpoint imports, even
# for its annotations alone.

# Names of tensors in a checkpoint: a pattern for those that `peft` adds, and how to undo its renaming of others.
ADAPTER_NAMES = r"\.(default|original_module)(\.|$)"
PLAIN_NAMES = {r"\.base_layer\.": ".", r"\.modules_to_save\.default\.": "."}


def _import_peft() -> ModuleType:
    try:  # not by `hf_lcl.support.extras`: checkpoints hold only this folder
        import peft
    except ModuleNotFoundError as error:
        raise ImportError('peft is not installed: pip install "hf_lcl[peft]"') from error
    return peft


def check_no_adapter(classifier: Any) -> None:
    """Raises a `TypeError` for a classifier that already has an adapter, since its head would stay frozen."""
    if getattr(classifier, "peft_config", None):
        raise TypeError(
            f"The {type(classifier).__name__} has an adapter already: hand over the plain classifier and let the "
            "trainer add the adapter, ContrastiveTrainer(..., peft_config=LoraConfig(...)), or merge it first, "
            "PeftModel.merge_and_unload()."
        )


def head_modules(native: PreTrainedModel) -> list[str]:
    """
    Names of the modules of a sequence classifier that an adapter must not freeze: those outside its encoder, and the
    pooler that they read. Both may have random initial weights, which need training.
    """
    names = [
        name
        for name, module in native.named_children()
        if module is not native.base_model and any(True for _ in module.parameters())  # no dropout
    ]
    return names + [name for name, _ in native.base_model.named_children() if name == "pooler"]


def adapter_settings(native: PreTrainedModel, peft_config: Any) -> dict[str, Any]:
    """
    An adapter's configuration as stored in [`LCLConfig`]: JSON types only, with the head among the trained modules.

    The adapter is tested on a copy of `native`, so that one that cannot be saved raises before training.

    Raises:
        TypeError: if `peft_config` is no configuration of `peft`.
        ValueError: for an adapter that cannot be merged into the classifier, such as prompt learning, which changes
            the inputs instead of the layers.
    """
    peft = _import_peft()
    kind = type(peft_config).__name__
    if not isinstance(peft_config, peft.PeftConfig):
        raise TypeError(f"peft_config is a {kind}: use peft.LoraConfig(...).")
    settings = {
        name: sorted(value) if isinstance(value, set) else value for name, value in peft_config.to_dict().items()
    }
    settings["task_type"] = "SEQ_CLS"
    settings["modules_to_save"] = sorted({*(settings.get("modules_to_save") or ()), *head_modules(native)})
    with torch.random.fork_rng():
        problem = "it learns a prompt" if peft_config.is_prompt_learning else _adapter_problem(native, settings)
    if problem is not None:
        raise ValueError(f"{kind} cannot be used for a {type(native).__name__}: {problem}. Use peft.LoraConfig(...).")
    return settings


@torch.no_grad()
def _adapter_problem(native: PreTrainedModel, settings: dict[str, Any]) -> str | None:
    """Why a classifier cannot be trained with an adapter and saved with it merged."""
    trial = insert_adapter(copy.deepcopy(native), settings)
    if len(_trained_whole(trial)) < len(head_modules(native)):
        return "it leaves the classifier's own layers frozen"
    for parameter in trial.parameters():
        if parameter.requires_grad:  # as if trained: most untrained ones change nothing
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    try:
        expected = probe_logits(trial.get_base_model())
        merged = probe_logits(_merge(trial))
    except Exception as error:  # any error of a kind of adapter that does not support this
        return str(error).rstrip(".") or type(error).__name__
    if (merged - expected).abs().max() > 0.5 * (expected - probe_logits(native)).abs().max():
        return "the merged classifier gives other logits"
    return None


def insert_adapter(native: PreTrainedModel, settings: dict[str, Any]) -> Any:
    """
    Adds an adapter to the layers of a classifier in place, without changing its class, and freezes everything else but
    its head. Returns the `PeftModel`, which saves and merges the adapter.
    """
    peft = _import_peft()
    return peft.get_peft_model(native, peft.PeftConfig.from_peft_type(**settings))


def adapter_tensors(name: str | PathLike, **kwargs: Any) -> dict[str, Tensor]:
    """The weights that an adapter adds to a checkpoint: of a folder, or of a repository that has been downloaded."""
    folder = Path(str(cached_file(name, "config.json", **kwargs))).parent
    tensors = {key: tensor for path in folder.glob("model*.safetensors") for key, tensor in load_file(path).items()}
    return {key: tensor for key, tensor in tensors.items() if re.search(ADAPTER_NAMES, key)}


def without_sharing(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with the adapter's copied: some kinds share tensors among layers, which a file cannot."""
    return {key: tensor.clone() if re.search(ADAPTER_NAMES, key) else tensor for key, tensor in state_dict.items()}


def merged_copy(adapted: Any) -> PreTrainedModel:
    """A classifier with the adapter merged into its weights, as a copy; `adapted` is not changed."""
    return _merge(copy.deepcopy(adapted))


def base_copy(adapted: Any) -> PreTrainedModel:
    """A copy of the classifier that the adapter is loaded into: the encoder's own weights, and a new head."""
    base: Any = copy.deepcopy(adapted)
    for module in _trained_whole(base).values():
        module.original_module.apply(base.get_base_model()._init_weights)
    return _unwrap(base, "original_module").unload()


def _merge(adapted: Any) -> PreTrainedModel:
    return _unwrap(adapted, "modules_to_save.default").merge_and_unload()


def _unwrap(adapted: Any, inner: str) -> Any:
    """Unwraps trained modules of several layers (a pooler); peft itself unwraps single layers only."""
    for name, module in _trained_whole(adapted).items():
        adapted.set_submodule(name, module.get_submodule(inner))
    return adapted


def _trained_whole(adapted: Any) -> dict[str, Any]:
    wrapper = _import_peft().utils.ModulesToSaveWrapper
    return {name: module for name, module in adapted.named_modules() if isinstance(module, wrapper)}
