"""The export from a saved classifier to a graph that serves without torch and hf_lcl."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import onnx
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from hf_lcl import LCLForSequenceClassification
from hf_lcl.commands import export
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.hub import save_sequence_classifier


NAMES = {0: "angry", 1: "annoyed", 2: "glad", 3: "proud"}
# Wide enough weights that a wrong graph cannot give nearly the same logits.
COMMON = {"vocab_size": 200, "id2label": NAMES, "pad_token_id": 0, "initializer_range": 0.2}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64} | COMMON
ARCHITECTURES = {
    "bert": (BertForSequenceClassification, BertConfig(max_position_embeddings=64, **SIZES)),
    "electra": (
        ElectraForSequenceClassification,
        ElectraConfig(embedding_size=16, max_position_embeddings=64, **SIZES),
    ),
    # Its positions start behind the id of the padding.
    "roberta": (
        RobertaForSequenceClassification,
        RobertaConfig(max_position_embeddings=65, type_vocab_size=2, **SIZES),
    ),
    "distilbert": (
        DistilBertForSequenceClassification,
        DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64, **COMMON),
    ),
}


@pytest.fixture
def save(tokenizer, tmp_path):
    """Saves a random classifier of an architecture as `ContrastiveTrainer.save_model` does; returns the folder."""

    def save(architecture: str) -> Path:
        torch.manual_seed(0)
        model_class, config = ARCHITECTURES[architecture]
        model = LCLForSequenceClassification.from_native(model_class(config))
        save_sequence_classifier(model, tmp_path / architecture, tokenizer=tokenizer)
        return tmp_path / architecture

    return save


def fails(*argv) -> str:
    """The one line with which the command ends."""
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        export.main([str(argument) for argument in argv])
    message = str(stopped.value.code)
    assert message.startswith("error: ")
    return message


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["electra", "roberta", "distilbert"])  # the next test exports a BERT
def test_the_logits_are_those_of_pytorch(save, tmp_path, capsys, architecture):
    export.main([str(save(architecture)), str(tmp_path / "onnx")])
    difference = float(re.search(r"by ([\d.e+-]+) at most", capsys.readouterr().out)[1])
    assert 0 < difference <= 1e-4
    graph = onnx.load(tmp_path / "onnx" / "model.onnx").graph
    axes = {
        node.name: [axis.dim_param or axis.dim_value for axis in node.type.tensor_type.shape.dim]
        for node in [*graph.input, *graph.output]
    }
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (architecture != "distilbert")
    assert axes == {name: ["batch", "sequence"] for name in names} | {"logits": ["batch", 4]}
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {
        "model.onnx",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


@pytest.mark.slow
def test_it_is_served_as_its_help_says_without_torch_and_hf_lcl(save, tmp_path, capsys):
    export.main([str(save("bert")), str(tmp_path / "out-onnx")])
    with pytest.raises(SystemExit, match="0"):
        export.main(["--help"])
    usage = re.search(
        r"^    import onnxruntime\n.*?^    print\(.*?\n", capsys.readouterr().out, re.DOTALL | re.MULTILINE
    )
    absent = "import sys\nsys.modules['torch'] = sys.modules['hf_lcl'] = None\n"
    code = absent + textwrap.dedent(usage[0])
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout.replace("'", '"'))) <= set(NAMES.values())


def test_a_checkpoint_gives_the_classifier_inside(bert, tokenizer, tmp_path):
    LCLForSequenceClassification.from_native(bert).save_pretrained(tmp_path / "checkpoint-1")
    tokenizer.save_pretrained(tmp_path / "checkpoint-1")
    model, _ = export.load(tmp_path / "checkpoint-1")
    assert type(model) is BertForSequenceClassification
    assert all(torch.equal(weight, bert.state_dict()[name]) for name, weight in model.state_dict().items())


@pytest.mark.slow
def test_logits_that_differ_are_an_error_and_leave_no_graph(save, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    assert "differ by" in fails(save("distilbert"), tmp_path / "onnx")
    assert list((tmp_path / "onnx").iterdir()) == []


def test_a_missing_package_is_an_error_that_names_the_extra(save, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = fails(save("bert"), tmp_path / "onnx")
    assert message == 'error: No onnxruntime is installed: pip install "hf_lcl[onnx]".'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is no folder"),
        ({}, "No model can be loaded from"),
        ({"model.safetensors": b"broken"}, "No model can be loaded from"),
    ],
    ids=["no_folder", "empty", "broken_weights"],
)
def test_a_folder_without_a_model(bert_config, tmp_path, content, words):
    folder = tmp_path / "model"
    if content is not None:
        bert_config.save_pretrained(folder)
    for name, text in (content or {}).items():
        (folder / name).write_bytes(text)
    message = fails(folder, tmp_path / "onnx")
    assert words in message
    assert str(folder) in message
    assert not (tmp_path / "onnx").exists()


def test_an_encoder_that_was_never_fine_tuned(encoder_folder, tmp_path):
    message = fails(encoder_folder, tmp_path / "onnx")
    assert "classifier.bias, classifier.weight would be random" in message
