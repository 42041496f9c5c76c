"""A classifier as an ONNX graph that gives the logits of PyTorch, and that graph in int8 as far as it stands it."""

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


# One row would be traced as a graph for one row, and without padding the mask would not be needed.
TRACED_TEXTS = ["They read my name out, and my whole row clapped.", "Late again."]
# Other batch sizes and lengths than those; the longest is cut where the tokenizer cuts.
CHECKED_BATCHES = [
    ["Cake!"],
    ["I laid one plate again.", "I told her I had posted the letter. It is still in my bag.", "Hm.", "No?"],
    ["The queue at the post office did not move. " * 25, "Why?", "A medal, at my age!"],
]
WEIGHT_INPUTS = {"MatMul": 1, "Gemm": 1, "Gather": 0}  # of the nodes that are quantised: which input is the weight


def export_graph(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Writes the graph of a classifier in evaluation mode, with every axis but that of the classes left open."""
    model.config.get_text_config().use_cache = False  # a decoder would give its cache, too
    inputs = tokenized(TRACED_TEXTS, model, tokenizer)
    # The current optimum-onnx, 0.1.0, cannot be imported beside transformers 5.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names the packages that other models would need
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about torch
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
    """A padded batch of what both the tokenizer gives and the model takes."""
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    taken = inspect.signature(model.forward).parameters
    return {name: tokens[name] for name in FEATURES if name in tokens and name in taken}


@torch.inference_mode()
def torch_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> np.ndarray:
    """The logits of one batch of texts."""
    return model(**tokenized(texts, model, tokenizer)).logits.numpy()


def layers(path: Path) -> dict[str, list[str]]:
    """
    The layers of a graph that can be quantised, from the last to the first: names of their nodes. Layers that differ
    by a number alone are one (`bert.encoder.layer.*.output.dense`).
    """
    import onnx  # an extra: the command has looked for it

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
    Writes a graph whose weights are int8, one scale for each output channel, and whose activations are quantised while
    it runs, but for the nodes that are `left_out`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends what changes nothing here
    try:
        quantize_dynamic(
            path,
            output,
            op_types_to_quantize=list(WEIGHT_INPUTS),
            per_channel=True,
            reduce_range=True,  # of seven bits: products of eight overflow on processors without VNNI
            weight_type=QuantType.QInt8,
            # A Gemm is renamed when it becomes a MatMul, as it must to be quantised.
            nodes_to_exclude=[name for node in left_out for name in (node, f"{node}_MatMul")],
        )
    finally:
        root.setLevel(level)
