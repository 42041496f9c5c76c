"""The trained model as files that plain transformers loads."""

from os import PathLike

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..modeling import LCLForSequenceClassification


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
