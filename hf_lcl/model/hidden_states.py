"""The last hidden state of a sequence classifier, from the same forward pass as its logits."""

import threading
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel


def watch_last_hidden_state(native: PreTrainedModel) -> None:
    """
    Prepares a sequence classifier for [`run_with_last_hidden_state`]: gives its body a forward hook, which does
    nothing outside of that function, and the dict that the hook writes to. A second call adds no second hook.

    The hook is registered once for all passes, since `torch.compile` cannot trace its registration.
    """
    body: Any = native.base_model
    if "captured_states" not in vars(body):
        body.captured_states = {}
        body.register_forward_hook(_capture)


def run_with_last_hidden_state(native: PreTrainedModel, inputs: dict[str, Any]) -> tuple[Any, Tensor]:
    """
    Runs a watched sequence classifier with keyword arguments. Returns its output and the last hidden state of its body
    in that pass, of shape `(batch, sequence, hidden)`.
    """
    body: Any = native.base_model
    states, thread = body.captured_states, _thread()
    states[thread] = None
    try:
        output = native(**inputs)
    finally:
        # Removed after the pass, since a stored state would keep the whole graph alive.
        last_hidden_state = states.pop(thread)
    return output, last_hidden_state


def _capture(body: Any, args: tuple, output: Any) -> None:
    thread = _thread()
    if thread in body.captured_states:
        body.captured_states[thread] = output[0] if isinstance(output, tuple) else output.last_hidden_state


def _thread() -> int:
    """Id of the thread, to separate parallel passes and `nn.DataParallel` replicas; 0 in a compiled graph."""
    return 0 if torch.compiler.is_compiling() else threading.get_ident()
