"""The trained model as files that plain transformers (or, for an adapter, plain peft) loads."""

import json
import shutil
import tempfile
from os import PathLike
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..model.modeling import LCLForSequenceClassification


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
    model.to_sequence_classifier().save_pretrained(save_directory, state_dict=state_dict)
    if tokenizer is not None:
        tokenizer.save_pretrained(save_directory)


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

    Example:

    ```python
    >>> from peft import PeftModel
    >>> from transformers import AutoConfig, AutoModelForSequenceClassification

    >>> config = AutoConfig.from_pretrained("my-adapter")
    >>> classifier = AutoModelForSequenceClassification.from_pretrained("the-encoder", config=config)
    >>> classifier = PeftModel.from_pretrained(classifier, "my-adapter")
    ```
    """
    folder = Path(save_directory)
    folder.mkdir(parents=True, exist_ok=True)
    # peft adds a model card of its own, which must not stand in for ours.
    with tempfile.TemporaryDirectory() as scratch:
        model.adapted_classifier.save_pretrained(scratch)
        shutil.copyfile(Path(scratch) / "adapter_model.safetensors", folder / "adapter_model.safetensors")
        settings = json.loads((Path(scratch) / "adapter_config.json").read_text(encoding="utf-8"))
    base_model = settings["base_model_name_or_path"]
    if base_model is not None and Path(base_model).exists():
        # A path of this machine says nothing to others, and is nobody's business.
        settings["base_model_name_or_path"] = None
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    model.config.text_config.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
