"""The trained model as files that plain transformers (or, for an adapter, plain peft) loads."""

from os import PathLike
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..files import read_json, staged, write_json
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
    with staged(save_directory) as folder:
        model.to_sequence_classifier().save_pretrained(folder, state_dict=state_dict)
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

    Example:

    ```python
    >>> from peft import PeftModel
    >>> from transformers import AutoConfig, AutoModelForSequenceClassification

    >>> config = AutoConfig.from_pretrained("my-adapter")
    >>> classifier = AutoModelForSequenceClassification.from_pretrained("the-encoder", config=config)
    >>> classifier = PeftModel.from_pretrained(classifier, "my-adapter")
    ```
    """
    with staged(save_directory) as folder:
        model.adapted_classifier.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's own card must not stand in for ours
        settings = read_json(folder / "adapter_config.json")
        base_model = settings["base_model_name_or_path"]
        if base_model is not None and Path(base_model).exists():
            # A path of this machine says nothing to others, and is nobody's business.
            settings["base_model_name_or_path"] = None
        write_json(folder / "adapter_config.json", settings)
        model.config.text_config.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
