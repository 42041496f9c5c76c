"""Exports a classifier as an ONNX graph with the logits of PyTorch, and quantises the graph to int8."""

import ast
import inspect
import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .onnx_classifier import FEATURES


# Tracing a single row would fix the batch size at 1. The lengths differ, so that the attention mask is needed.
TRACED_TEXTS = ["They read my name out, and my whole row clapped.", "Late again."]
# Other batch sizes and lengths than the traced ones; the tokenizer truncates the longest text if it has a limit.
CHECKED_BATCHES = [
    ["Cake!"],
    ["I laid one plate again.", "I told her I had posted the letter. It is still in my bag.", "Hm.", "No?"],
    ["The queue at the post office did not move. " * 25, "Why?", "A medal, at my age!"],
]
WEIGHT_INPUTS = {"MatMul": 1, "Gemm": 1, "Gather": 0}  # index of the weight among the inputs of a quantised node


def export_graph(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Writes the graph of a classifier in evaluation mode, with dynamic axes for batch and sequence."""
    model.config.get_text_config().use_cache = False  # a decoder would also return its cache
    inputs = tokenized(TRACED_TEXTS, model, tokenizer)
    # Without optimum-onnx: its current version, 0.1.0, cannot be imported with transformers 5.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that only other models need
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of torch about its own code
        torch.onnx.export(
            model,
            kwargs=inputs,
            f=path,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_shapes={name: {0: "batch", 1: "sequence"} for name in inputs},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def tokenized(
    texts: Sequence[str], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> dict[str, torch.Tensor]:
    """A padded batch with those outputs of the tokenizer that the model takes."""
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    taken = inspect.signature(model.forward).parameters
    return {name: tokens[name] for name in FEATURES if name in tokens and name in taken}


@torch.inference_mode()
def torch_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> np.ndarray:
    """The logits of one batch of texts."""
    return model(**tokenized(texts, model, tokenizer)).logits.numpy()


def layers(path: Path) -> dict[str, list[str]]:
    """
    The layers of a graph that can be quantised, from the last to the first, with the names of their nodes. Layers
    whose names differ only in a number are merged (`bert.encoder.layer.*.output.dense`).
    """
    import onnx  # an extra: the command has checked that it is installed

    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    found: dict[str, list[str]] = {}
    for node in reversed(graph.node):
        if node.op_type in WEIGHT_INPUTS and node.input[WEIGHT_INPUTS[node.op_type]] in weights:
            scopes = {entry.key: entry.value for entry in node.metadata_props}["pkg.torch.onnx.name_scopes"]
            name = re.sub(r"\.\d+(?=\.|$)", ".*", ast.literal_eval(scopes)[-2])
            found.setdefault(name, []).append(node.name)
    return found


def quantize(path: Path, output: Path, left_out: Iterable[str] = ()) -> None:
    """
    Writes the graph with dynamic quantisation: int8 weights, one scale per output channel, and activations quantised
    at run time. Nodes in `left_out` stay in float32.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # its recommendations have no effect here
    try:
        quantize_dynamic(
            path,
            output,
            op_types_to_quantize=list(WEIGHT_INPUTS),
            per_channel=True,
            reduce_range=True,  # 7-bit weights: sums of 8-bit products overflow on CPUs without VNNI
            weight_type=QuantType.QInt8,
            # To be quantised, a Gemm is converted to a MatMul, which gets another name.
            nodes_to_exclude=[name for node in left_out for name in (node, f"{node}_MatMul")],
        )
    finally:
        root.setLevel(level)
