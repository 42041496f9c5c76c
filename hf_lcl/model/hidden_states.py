"""The last hidden state of a sequence classifier, out of the same forward pass that gives its logits."""

import threading
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


def watch_last_hidden_state(native: PreTrainedModel) -> None:
    """
    Prepares a sequence classifier for [`run_with_last_hidden_state`]: its body gets a hook that does nothing outside
    of that function, and the dict that the hook writes to. Wrapping it twice leaves one hook.

    One hook for all passes, since `torch.compile` cannot trace the registration of one.
    """
    body: Any = native.base_model
    if "captured_states" not in vars(body):
        body.captured_states = {}
        body.register_forward_hook(_capture)


def run_with_last_hidden_state(native: PreTrainedModel, inputs: dict[str, Any]) -> tuple[Any, Tensor]:
    """
    The output of a watched sequence classifier for keyword arguments, and the last hidden state that its body computed
    in that pass, of shape `(batch, sequence, hidden)`.
    """
    body: Any = native.base_model
    states, thread = body.captured_states, _thread()
    states[thread] = None
    try:
        output = native(**inputs)
    finally:
        # Nothing stays behind: a state would keep the whole graph alive.
        last_hidden_state = states.pop(thread)
    return output, last_hidden_state


def _capture(body: Any, args: tuple, output: Any) -> None:
    thread = _thread()
    if thread in body.captured_states:
        body.captured_states[thread] = output[0] if isinstance(output, tuple) else output.last_hidden_state


def _thread() -> int:
    """Keeps passes of other threads, and `nn.DataParallel` replicas, apart; a compiled graph knows no thread."""
    return 0 if torch.compiler.is_compiling() else threading.get_ident()
