"""`python -m hf_lcl export`: a finished classifier as an ONNX graph, which gives the logits of PyTorch."""

import inspect
import logging
import warnings
from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..model.modeling import LCLForSequenceClassification
from .parsing import HelpFormatter


DESCRIPTION = """\
Exports a trained classifier to ONNX, and checks that ONNX Runtime gives the logits of PyTorch.

  python -m hf_lcl export out out-onnx

The first folder is one that trainer.save_model() or train wrote. The second gets model.onnx (float32, any batch size
and length), the tokenizer and the configuration. Serving then needs neither torch nor hf_lcl:

    import onnxruntime
    from transformers import AutoConfig, AutoTokenizer

    folder = "out-onnx"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = AutoConfig.from_pretrained(folder).id2label
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx")

    tokens = tokenizer(["I got the job!", "Late again."], padding=True, truncation=True, return_tensors="np")
    (logits,) = session.run(["logits"], {node.name: tokens[node.name] for node in session.get_inputs()})
    print([names[index] for index in logits.argmax(axis=1)])

Needs onnx, onnxruntime and onnxscript: pip install "hf_lcl[onnx]"."""

TOLERANCE = 1e-4
INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
# One row would be traced as a graph for one row, and without padding the mask would not be needed.
TRACED_TEXTS = ["They read my name out, and my whole row clapped.", "Late again."]
# Other batch sizes and lengths than those; the longest is cut where the tokenizer cuts.
CHECKED_BATCHES = [
    ["Cake!"],
    ["I laid one plate again.", "I told her I had posted the letter. It is still in my bag.", "Hm.", "No?"],
    ["The queue at the post office did not move. " * 25, "Why?", "A medal, at my age!"],
]


def main(argv: list[str] | None = None) -> None:
    """The command; `argv` defaults to the command line of this process."""
    parser = ArgumentParser("python -m hf_lcl export", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("model_folder", type=Path, metavar="OUTPUT_DIR", help="folder of a finished classifier")
    parser.add_argument("output_folder", type=Path, metavar="DIR", help="where graph, tokenizer and configuration go")
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="of the graph")
    args = parser.parse_args(argv)

    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ValueError(f'No {" and no ".join(missing)} is installed: pip install "hf_lcl[onnx]".')
    model, tokenizer = load(args.model_folder)

    args.output_folder.mkdir(parents=True, exist_ok=True)
    # model.onnx is a name for a graph that was found right.
    unchecked, path = args.output_folder / "model.unchecked.onnx", args.output_folder / "model.onnx"
    try:
        export(model, tokenizer, unchecked)
        difference = largest_difference(model, tokenizer, unchecked)
        if not difference <= TOLERANCE:
            raise FloatingPointError(
                f"The logits of ONNX Runtime and PyTorch differ by {difference:.1e}, more than {TOLERANCE:.0e}: "
                f"{path} was not written."
            )
        unchecked.replace(path)
    finally:
        unchecked.unlink(missing_ok=True)
    tokenizer.save_pretrained(args.output_folder)
    model.config.save_pretrained(args.output_folder)
    print(f"{path}: the logits differ from PyTorch's by {difference:.1e} at most. --help shows how to serve it.")


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The classifier in `folder`, in float32, and its tokenizer; of a checkpoint of hf_lcl, the classifier inside."""
    if not folder.is_dir():  # or else transformers would ask the Hub for a model of this name
        raise ValueError(f"{folder} is no folder: name the one that trainer.save_model() wrote.")
    try:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"No model can be loaded from {folder}: {error}") from error
    if loading["missing_keys"]:
        raise ValueError(
            f"{folder} holds no trained classifier ({', '.join(sorted(loading['missing_keys']))} would be random): "
            "fine-tune it first."
        )
    if isinstance(model, LCLForSequenceClassification):
        model = model.to_sequence_classifier()
    return model, AutoTokenizer.from_pretrained(folder)


def tokenize(texts: list[str], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor]:
    """A padded batch of what both the tokenizer gives and the model takes."""
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    taken = inspect.signature(model.forward).parameters
    return {name: tokens[name] for name in INPUT_NAMES if name in tokens and name in taken}


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Writes the graph, with every axis but that of the classes left open."""
    inputs = tokenize(TRACED_TEXTS, model, tokenizer)
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


def largest_difference(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> float:
    """Between the logits of the graph and of the model, over all texts of `CHECKED_BATCHES`."""
    import onnxruntime  # an extra: `main` has looked for it

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = []
    for texts in CHECKED_BATCHES:
        inputs = tokenize(texts, model, tokenizer)
        with torch.inference_mode():
            expected = model(**inputs).logits
        (logits,) = session.run(["logits"], {name: tensor.numpy() for name, tensor in inputs.items()})
        differences.append((torch.from_numpy(logits) - expected).abs().max())
    return torch.stack(differences).max().item()
