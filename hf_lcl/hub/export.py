"""The trained model as files that plain transformers (or, for an adapter, plain peft) loads."""

from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..model.adapters import base_copy
from ..model.modeling import LCLForSequenceClassification
from ..model.probing import computes_the_same
from ..support.files import read_json, staged, write_json


NATIVE_PREFIX = "native."


def save_sequence_classifier(
    model: LCLForSequenceClassification,
    save_directory: str | PathLike,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    state_dict: dict[str, Tensor] | None = None,
) -> None:
    """
    Writes the classifier inside `model`, in the architecture's own format, and its tokenizer.

    Args:
        model ([`LCLForSequenceClassification`]): the trained wrapper.
        save_directory (`str` or `os.PathLike`): the folder.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): saved beside the weights.
        state_dict (`dict[str, torch.Tensor]`, *optional*): the wrapper's weights, where they had to be gathered from
            several processes first.

    Raises:
        ValueError: if what would be saved is not whole: a fresh load lacks weights or gives other logits. The folder
            is left as it was.

    Example:

    ```python
    >>> from hf_lcl.hub import save_sequence_classifier

    >>> save_sequence_classifier(model, "my-classifier", tokenizer=tokenizer)
    ```
    """
    if state_dict is not None:
        state_dict = {
            name.removeprefix(NATIVE_PREFIX): tensor
            for name, tensor in state_dict.items()
            if name.startswith(NATIVE_PREFIX)
        }
    native = model.to_sequence_classifier()
    with staged(save_directory) as folder:
        native.save_pretrained(folder, state_dict=state_dict)
        loaded: Any = type(native).from_pretrained(folder, output_loading_info=True)
        again, report = loaded
        lost = sorted(str(key) for kind in report.values() for key in kind)
        if lost:
            raise ValueError(
                f"{save_directory} was left as it was: a {type(native).__name__} loaded from it would not be whole "
                f"({len(lost)} weights, {', '.join(lost[:5])}). Was its head replaced by hand?"
            )
        if state_dict is None and not computes_the_same(native, again):
            raise ValueError(_other_logits(save_directory, native))
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def save_adapter(
    model: LCLForSequenceClassification,
    save_directory: str | PathLike,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    """
    Writes the adapter inside `model` and its classifier head, as `peft` loads them, with the classifier's
    configuration (class names) and its tokenizer beside them.

    Args:
        model ([`LCLForSequenceClassification`]): a wrapper with an adapter.
        save_directory (`str` or `os.PathLike`): the folder.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): saved beside the weights.

    Raises:
        ValueError: if there is no adapter, or `peft` would load another one. The folder is left as it was.

    Example:

    ```python
    >>> from peft import PeftModel
    >>> from transformers import AutoConfig, AutoModelForSequenceClassification

    >>> config = AutoConfig.from_pretrained("my-adapter")
    >>> classifier = AutoModelForSequenceClassification.from_pretrained("the-encoder", config=config)
    >>> classifier = PeftModel.from_pretrained(classifier, "my-adapter")
    ```
    """
    adapted = model.adapted_classifier
    if adapted is None:
        raise ValueError("The model has no adapter: save the classifier with save_sequence_classifier.")
    with staged(save_directory) as folder:
        adapted.save_pretrained(str(folder))
        (folder / "README.md").unlink(missing_ok=True)  # peft's own card must not stand in for ours
        settings = read_json(folder / "adapter_config.json")
        base_model = settings["base_model_name_or_path"]
        if base_model is not None and Path(base_model).exists():
            # A path of this machine says nothing to others, and is nobody's business.
            settings["base_model_name_or_path"] = None
        write_json(folder / "adapter_config.json", settings)
        again: Any = type(adapted).from_pretrained(base_copy(adapted), str(folder))
        if not computes_the_same(model.native, again.get_base_model()):
            raise ValueError(_other_logits(save_directory, model.native))
        model.config.text_config.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def _other_logits(save_directory: str | PathLike, native: PreTrainedModel) -> str:
    return (
        f"{save_directory} was left as it was: a {type(native).__name__} loaded from it would give other logits than "
        "the one in memory. Was a layer or its configuration changed after it was built?"
    )
