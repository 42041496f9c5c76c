"""A contrastive batch of any size in the memory of one mini-batch, with the gradients of the whole batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import get_device_states, set_device_states

from ...model.outputs import LCLOutput


# The fields of an output that a loss reads.
FIELDS = ("logits", "embeddings", "weighting_logits")


class _MiniBatch(NamedTuple):
    """The inputs of some texts, their rows in the batch, and the random state before their forward pass."""

    inputs: dict[str, Any]
    rows: Tensor
    cpu_state: Tensor
    device_states: tuple[list[int], list[Tensor]]


class GradientCache:
    """
    Computes the exact gradients of a batch in mini-batches of `mini_batch_size` texts.

    A contrastive loss needs the embeddings of the whole batch, but not all of their graphs at once. So
    [`~GradientCache.forward`] computes all outputs without a graph, and the loss is computed from them.
    [`~GradientCache.backward`] then runs each mini-batch again, from the same random state, and backpropagates the
    loss's gradient through it. The cost is one more forward pass: 4/3 of the arithmetic. Texts of similar length share
    a mini-batch, which is padded to its own longest text; this recovers part of the cost. Architectures that need
    inputs of one length require `trim=False`.

    Paper: [Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup](https://huggingface.co/papers/2101.06983).
    """

    def __init__(self, mini_batch_size: int, trim: bool = True):
        self.mini_batch_size, self.trim = mini_batch_size, trim

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> LCLOutput:
        """
        The outputs of the whole batch, as leaf tensors that accumulate the loss's gradient. `model` is an
        [`LCLForSequenceClassification`], bare or wrapped for several processes; `inputs` have one row per text.
        """
        outputs = []
        self._mini_batches: list[_MiniBatch] = []
        with torch.no_grad():
            for rows, part in self._split(inputs):
                self._mini_batches.append(
                    _MiniBatch(part, rows, torch.get_rng_state(), get_device_states(*part.values()))
                )
                outputs.append(model(**part))
        back = torch.cat([mini_batch.rows for mini_batch in self._mini_batches]).argsort()
        joined: dict[str, Any] = {
            name: torch.cat([output[name] for output in outputs])[back].requires_grad_()
            for name in FIELDS
            if outputs[0].get(name) is not None
        }
        self._outputs = LCLOutput(**joined)
        return self._outputs

    def backward(self, model: nn.Module, no_sync: Callable[[], AbstractContextManager] = nullcontext) -> None:
        """
        Propagates the accumulated gradients of the outputs to the weights of the same model. All mini-batches but the
        last run within `no_sync`, so that gradients are synchronised between processes only once.
        """
        gradients = {name: leaf.grad for name, leaf in self._outputs.items() if leaf.grad is not None}
        for mini_batch in self._mini_batches:
            is_last = mini_batch is self._mini_batches[-1]
            devices, states = mini_batch.device_states
            with nullcontext() if is_last else no_sync(), torch.random.fork_rng(devices):
                torch.set_rng_state(mini_batch.cpu_state)
                set_device_states(devices, states)
                output = model(**mini_batch.inputs)
                # The logits of a weighting network without parameters are detached.
                reached = [name for name in gradients if output[name].requires_grad]
                torch.autograd.backward(
                    [output[name] for name in reached], [gradients[name][mini_batch.rows] for name in reached]
                )
        del self._mini_batches, self._outputs

    def _split(self, inputs: dict[str, Any]) -> list[tuple[Tensor, dict[str, Any]]]:
        """The rows and the inputs of each mini-batch; the longest texts first, where their lengths are known."""
        if not self.trim or "attention_mask" not in inputs:
            parts = torch.arange(len(next(iter(inputs.values())))).split(self.mini_batch_size)
            return [(rows, {name: tensor[rows] for name, tensor in inputs.items()}) for rows in parts]
        mask = inputs["attention_mask"]
        length = mask.shape[1]
        # The position of the last real token, not their number: texts that are padded on the left are not cut.
        ends = (mask * torch.arange(1, length + 1, device=mask.device)).amax(dim=1)
        ends, order = ends.sort(descending=True, stable=True)
        longest = ends[:: self.mini_batch_size].tolist()  # the only read from the device
        return [
            (rows, {k: v[rows, :end] if v.shape[1:2] == (length,) else v[rows] for k, v in inputs.items()})
            for rows, end in zip(order.split(self.mini_batch_size), longest, strict=True)
        ]
