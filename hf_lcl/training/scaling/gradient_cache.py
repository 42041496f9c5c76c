"""A contrastive batch of any size in the memory of one mini-batch, with the gradients of the whole batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import get_device_states, set_device_states

from ...model.outputs import LCLOutput


# What a loss reads of an output.
FIELDS = ("logits", "embeddings", "weighting_logits")


class _MiniBatch(NamedTuple):
    """The inputs of some texts, their rows in the batch, and the random state that their outputs were made from."""

    inputs: dict[str, Any]
    rows: Tensor
    cpu_state: Tensor
    device_states: tuple[list[int], list[Tensor]]


class GradientCache:
    """
    Steps over a batch in mini-batches of `mini_batch_size` texts, exactly.

    A contrastive loss needs the embeddings of the whole batch, but not their graphs at once. So
    [`~GradientCache.forward`] computes all outputs without a graph, the loss is taken on them, and
    [`~GradientCache.backward`] computes each mini-batch a second time, from the same random state, and sends the
    loss's gradient through it. The price is one more forward pass: 4/3 of the arithmetic. Texts of like length share a
    mini-batch, which is padded to its own longest text, so that a part of the price comes back; architectures that
    need one length want `trim=False`.

    Paper: [Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup](https://huggingface.co/papers/2101.06983).
    """

    def __init__(self, mini_batch_size: int, trim: bool = True):
        self.mini_batch_size, self.trim = mini_batch_size, trim

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> LCLOutput:
        """
        The outputs of the whole batch, as leaves that gather the loss's gradient: of an
        [`LCLForSequenceClassification`], bare or wrapped for several processes, for tensors of one row per text.
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
        Sends the gradient that the outputs have gathered on to the weights of the same model. In `no_sync`, which is
        entered for all mini-batches but the last, gradients stay in this process, so that processes wait once.
        """
        gradients = {name: leaf.grad for name, leaf in self._outputs.items() if leaf.grad is not None}
        for mini_batch in self._mini_batches:
            is_last = mini_batch is self._mini_batches[-1]
            devices, states = mini_batch.device_states
            with nullcontext() if is_last else no_sync(), torch.random.fork_rng(devices):
                torch.set_rng_state(mini_batch.cpu_state)
                set_device_states(devices, states)
                output = model(**mini_batch.inputs)
                # A weighting network without parameters of its own gives weights without a graph.
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
        # The last real token counts, not how many there are: texts that are padded on the left are not cut.
        ends = (mask * torch.arange(1, length + 1, device=mask.device)).amax(dim=1)
        ends, order = ends.sort(descending=True, stable=True)
        longest = ends[:: self.mini_batch_size].tolist()  # the only read from the device
        return [
            (rows, {k: v[rows, :end] if v.shape[1:2] == (length,) else v[rows] for k, v in inputs.items()})
            for rows, end in zip(order.split(self.mini_batch_size), longest, strict=True)
        ]
