"""The trained model as files that plain transformers (or, for an adapter, plain peft) loads."""

from os import PathLike
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..model.adapters import base_copy
from ..model.modeling import LCLForSequenceClassification
from ..model.probing import computes_the_same
from ..support.files import read_json, staged, write_json
from ..training_args import ContrastiveTrainingArguments
from .contents import CARD, without_folders


NATIVE_PREFIX = "native."


def saves_adapter(model: LCLForSequenceClassification, args: ContrastiveTrainingArguments) -> bool:
    """Whether a training saves only an adapter instead of a whole classifier."""
    return model.adapted_classifier is not None and not args.merge_adapter


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
        tokenizer (`PreTrainedTokenizerBase`, *optional*): saved with the weights.
        state_dict (`dict[str, torch.Tensor]`, *optional*): the weights of the wrapper, if they had to be gathered from
            several processes.

    Raises:
        ValueError: if a model loaded from the new files would lack weights or give other logits. The folder is left as
            it was.

    Example:

    ```python
    >>> from hf_lcl.hub import save_sequence_classifier

    >>> save_sequence_classifier(model, "my-classifier", tokenizer=tokenizer)
    ```
    """
    native = model.to_sequence_classifier()
    if state_dict is not None:
        state_dict = {
            name.removeprefix(NATIVE_PREFIX): tensor
            for name, tensor in state_dict.items()
            if name.startswith(NATIVE_PREFIX)
        }
    with staged(save_directory) as folder:
        native.save_pretrained(folder, state_dict=state_dict)
        loaded: Any = type(native).from_pretrained(folder, output_loading_info=True)
        reloaded, report = loaded
        lost = sorted(str(key) for keys in report.values() for key in keys)
        if lost:
            raise ValueError(
                f"{save_directory} was left as it was: a {type(native).__name__} loaded from it would not be whole "
                f"({len(lost)} weights, {', '.join(lost[:5])}). Was its head replaced by hand?"
            )
        # A process that holds a shard of the weights cannot run the model.
        if state_dict is None:
            _check_logits(native, reloaded, save_directory)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def save_adapter(
    model: LCLForSequenceClassification,
    save_directory: str | PathLike,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    """
    Writes the adapter inside `model` with its classifier head in the format of `peft`, the configuration of the
    classifier (class names) and its tokenizer. Arguments are those of [`save_sequence_classifier`].

    Raises:
        ValueError: if there is no adapter, or `peft` would get other logits. The folder is left as it was.

    Example:

    ```python
    >>> from peft import PeftModel
    >>> from transformers import AutoConfig, AutoModelForSequenceClassification
    >>> from hf_lcl.hub import save_adapter

    >>> save_adapter(model, "my-adapter", tokenizer=tokenizer)
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
        (folder / CARD).unlink(missing_ok=True)  # written by peft
        settings = folder / "adapter_config.json"
        write_json(settings, without_folders(read_json(settings)))
        reloaded: Any = type(adapted).from_pretrained(base_copy(adapted), str(folder))
        _check_logits(model.native, reloaded.get_base_model(), save_directory)
        model.config.text_config.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def _check_logits(native: PreTrainedModel, reloaded: PreTrainedModel, save_directory: str | PathLike) -> None:
    if not computes_the_same(native, reloaded):
        raise ValueError(
            f"{save_directory} was left as it was: a {type(native).__name__} loaded from it would give other logits "
            "than the one in memory. Was a layer or its configuration changed after it was built?"
        )
