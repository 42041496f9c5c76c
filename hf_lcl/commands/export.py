"""`python -m hf_lcl export`: a finished classifier as an ONNX graph, checked against PyTorch."""

from argparse import Namespace
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml

from ..evaluation.finished import load_finished
from ..evaluation.inference import run_model
from ..serving.gate import Checked, attempts, check
from ..serving.graph import CHECKED_BATCHES, export_graph, torch_logits
from ..serving.onnx_classifier import OnnxClassifier
from ..support.files import GRAPH, staged
from .arguments import DataArguments
from .data import labelled_texts
from .exits import wrong_usage
from .model_flags import (
    HOW_LABELS_ARE_READ,
    HOW_TEXTS_ARE_READ,
    add_data_flags,
    model_parser,
    parse_model_flags,
    remembered,
)
from .parsing import SETTINGS, refuse


DESCRIPTION = """\
Exports a trained classifier to ONNX, and checks that ONNX Runtime gives the logits of PyTorch.

  python -m hf_lcl export out out-onnx
  python -m hf_lcl export out out-int8 --int8 --check_file test.csv
  python -m hf_lcl predict out-int8 new.csv --output_file predictions.csv

The first folder was written by trainer.save_model() or train. The second gets model.onnx (any batch size and length),
the tokenizer and the configuration. With --int8 the graph is a quarter as large and faster. It is written only if, on
the labelled texts of --check_file, accuracy falls by at most --max_drop points and at most 10 x --max_drop percent of
the predictions change. Otherwise, the most sensitive layers stay in float32, and are printed. predict runs the folder
without torch. To run it without hf_lcl:

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

# Largest difference of the logits, relative to the largest logit where that exceeds 1: the precision of float32.
TOLERANCE = 1e-4
# Percentage of predictions that may change per point of --max_drop: some of them change from wrong to right.
CHANGED_PER_DROP = 10
INT8 = "int8.onnx"


def main(argv: list[str]) -> None:
    parser = model_parser("export", DESCRIPTION, writes_into_folder=True)
    parser.add_argument("output_folder", type=Path, metavar="DIR", help="folder of graph, tokenizer and configuration")
    parser.add_argument("--format", default="onnx", help="of the graph: onnx, which OpenVINO also reads")
    parser.add_argument("--int8", action="store_true", help="quantise the weights to int8, one scale per channel")
    parser.add_argument("--check_file", metavar="FILE", help="labelled texts on which to compare with PyTorch")
    parser.add_argument("--max_drop", type=float, default=0.5, help="points of accuracy that int8 may lose on them")
    add_data_flags(parser, "the labels of --check_file", *HOW_LABELS_ARE_READ)
    flags, data_args = parse_model_flags(parser, argv)
    _check(flags, data_args)
    folder, source = flags.output_folder, Path(flags.model)
    model, tokenizer = load_finished(source, trust_remote_code=flags.trust_remote_code, may_have_several_labels=True)
    if not tokenizer.is_fast:
        raise ValueError(f"{source} has a {type(tokenizer).__name__}, which has no tokenizer.json: use a fast one.")
    model.float().cpu().eval()
    native = model.to_sequence_classifier().eval()
    test = None if flags.check_file is None else labelled_texts(data_args, model, tokenizer)["test"]

    with staged(folder) as scratch:
        tokenizer.save_pretrained(scratch)
        native.config.save_pretrained(scratch)
        if known := remembered(source, {*HOW_TEXTS_ARE_READ}):
            (scratch / SETTINGS).write_text(yaml.safe_dump(known, allow_unicode=True), encoding="utf-8")
        export_graph(native, tokenizer, scratch / GRAPH)
        classifier = OnnxClassifier(scratch)
        pairs = [(classifier.logits(texts), torch_logits(native, tokenizer, texts)) for texts in CHECKED_BATCHES]
        if test is not None:
            columns = (test[name][:] for name in data_args.text_columns)
            texts = list(zip(*columns)) if data_args.sentence_pair else data_args.texts(test)
            original = run_model(model, test, tokenizer, batch_size=flags.batch_size, description="check").logits
            references = np.asarray(test["labels"])
            pairs.append((classifier.logits(texts, max_length=data_args.max_seq_length), original))
        difference = max(np.abs(logits - expected).max() for logits, expected in pairs)
        allowed = TOLERANCE * max(1, *(np.abs(expected).max() for _, expected in pairs))
        if not difference <= allowed:
            raise FloatingPointError(
                f"The logits of ONNX Runtime and PyTorch differ by {difference:.1e}, more than {allowed:.0e}: "
                f"{folder / GRAPH} was not written."
            )
        told = f"the logits differ from PyTorch's by {difference:.1e} at most"
        if test is not None:
            told += f"; accuracy {check(pairs[-1][0], original, references).accuracy:.1f}"
        if flags.int8:
            tried = attempts(scratch, scratch / INT8, texts, original, references, data_args.max_seq_length)
            told = f"{_quantise(scratch, tried, flags)}; before int8, {told}"
    print(f"{folder / GRAPH}: {told}. --help shows how to serve it.")


@wrong_usage()
def _check(flags: Namespace, data_args: DataArguments) -> None:
    folder, source = flags.output_folder, Path(flags.model)
    if flags.format != "onnx":
        raise ValueError(
            f"--format {flags.format} is unknown: use onnx. OpenVINO reads that graph as it is, in int8, too: "
            f'openvino.compile_model("{folder / GRAPH}").'
        )
    if missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]:
        raise ValueError(f'No {" and no ".join(missing)} is installed: pip install "hf_lcl[onnx]".')
    if not source.is_dir():  # or transformers would look for a model of this name on the Hub
        raise ValueError(f"{source} is no folder: name the one that trainer.save_model() wrote.")
    if any(folder.glob("*.safetensors")) or (folder.exists() and folder.samefile(source)):
        raise ValueError(f"{folder} holds a classifier, whose files would be written over: name another folder.")
    if flags.int8 and flags.check_file is None:
        raise ValueError("--int8 needs --check_file FILE: labelled texts, such as those of the test.")
    if not 0 <= flags.max_drop <= 100:
        raise ValueError(f"--max_drop {flags.max_drop:g} must be points of accuracy, from 0 to 100: use 0.5.")
    data_args.test_file = flags.check_file
    refuse(data_args.problems())


def _quantise(scratch: Path, tried: Iterable[tuple[list[str], Checked]], flags: Namespace) -> str:
    """Replaces the graph by the first int8 graph that passes the check, and returns a line with both sizes."""
    for kept, found in tried:
        print(f"int8{', but for ' + ', '.join(kept) if kept else ''}: {found}", flush=True)
        if found.drop <= flags.max_drop and found.changed <= CHANGED_PER_DROP * flags.max_drop:
            before, after = (path.stat().st_size / 2**20 for path in (scratch / GRAPH, scratch / INT8))
            (scratch / INT8).replace(scratch / GRAPH)
            return f"{after:.1f} MiB instead of {before:.1f}"
    raise ValueError(
        f"No int8 graph answers as well as {flags.model} on {flags.check_file}: {flags.output_folder / GRAPH} was not "
        "written. Leave --int8 out, or raise --max_drop."
    )
