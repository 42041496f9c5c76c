"""The export from a saved classifier to a graph that serves without torch and hf_lcl."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from tiny_architectures import tiny_config
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_lcl.__main__ import main
from hf_lcl.commands import export
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.serving import gate, graph
from hf_lcl.serving.onnx_classifier import OnnxClassifier


NAMES = {0: "angry", 1: "annoyed", 2: "glad", 3: "proud", 4: "out_of_scope"}
# Architectures that differ from BERT, which most tests export, in embeddings, positions, heads or attention, and a
# decoder. Tracing time grows with the number of layers: one is enough if all layers are of the same kind.
LAYERS = {"electra": 1, "roberta": 1, "distilbert": 1, "mpnet": 1, "modernbert": 2, "llama": 1}


@pytest.fixture(scope="session")
def save(tokenizer, tmp_path_factory):
    """Saves a random classifier of an architecture and a tokenizer; returns the folder."""

    def save(architecture: str, **settings) -> Path:
        config = tiny_config(architecture, num_labels=len(NAMES))
        # Large enough weights that a wrong graph cannot return nearly the same logits.
        wide = {"vocab_size": 200, "initializer_range": 0.2, "id2label": NAMES, "pad_token_id": 0}
        layers = {"num_hidden_layers": LAYERS.get(architecture, 2)}
        for name, value in (wide | layers | settings).items():
            setattr(config, name, value)
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(architecture)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"model_max_length": 32}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return save


@pytest.fixture(scope="session")
def labelled(raw_splits, tmp_path_factory) -> Path:
    """Texts with labels, to check an export with."""
    path = tmp_path_factory.mktemp("labelled") / "check.csv"
    raw_splits["test"].to_csv(path)
    return path


@pytest.fixture(scope="session")
def exported(save, tmp_path_factory) -> tuple[Path, Path]:
    """A BERT, and the folder of its graph."""
    source, folder = save("bert"), tmp_path_factory.mktemp("exported") / "out-onnx"
    (source / "settings.yaml").write_text("text_column_names: body\ntrain_file: /home/me/train.csv\n")
    export.main([str(source), str(folder)])
    return source, folder


def fails(*argv) -> str:
    """Runs the command, which fails, and returns its one-line error message."""
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        export.main([str(argument) for argument in argv])
    message = str(stopped.value)
    assert message.startswith("error: ")
    return message


@pytest.fixture(scope="module", params=LAYERS)
def in_int8(save, labelled, tmp_path_factory, request) -> SimpleNamespace:
    """A classifier, the files and output of its export to int8, and a copy of the graph before quantisation."""
    source, folder, printed = save(request.param), tmp_path_factory.mktemp("int8"), io.StringIO()

    def keep(model, tokenizer, path):
        graph.export_graph(model, tokenizer, path)
        shutil.copy(path, folder / "whole.onnx")

    flags = ["--int8", "--check_file", str(labelled), "--max_drop", "5"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(export, "export_graph", keep)
        export.main([str(source), str(folder / "onnx"), *flags])
    return SimpleNamespace(
        architecture=request.param,
        source=source,
        folder=folder / "onnx",
        whole=folder / "whole.onnx",
        printed=printed.getvalue(),
    )


@pytest.mark.slow
def test_the_logits_are_those_of_pytorch_and_the_answers_of_int8_nearly_so(in_int8):
    architecture, folder = in_int8.architecture, in_int8.folder
    difference = float(re.search(r"by ([\d.e+-]+) at most", in_int8.printed)[1])
    assert 0 < difference <= 1e-4
    model = onnx.load(folder / "model.onnx")
    axes = {
        node.name: [axis.dim_param or axis.dim_value for axis in node.type.tensor_type.shape.dim]
        for node in [*model.graph.input, *model.graph.output]
    }
    has_types = architecture in ("electra", "roberta")
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * has_types
    assert axes == {name: ["batch", "sequence"] for name in names} | {"logits": ["batch", 5]}
    assert sum(node.op_type == "MatMulInteger" for node in model.graph.node) >= 8
    files = {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in folder.iterdir()} == files


@pytest.mark.slow
def test_it_is_served_as_its_help_says_without_torch_and_hf_lcl(exported, capsys):
    with pytest.raises(SystemExit, match="0"):
        export.main(["--help"])
    usage = re.search(
        r"^    import onnxruntime\n.*?^    print\(.*?\n", capsys.readouterr().out, re.DOTALL | re.MULTILINE
    )
    absent = "import sys\nsys.modules['torch'] = sys.modules['hf_lcl'] = None\n"
    code = absent + textwrap.dedent(usage[0])
    result = subprocess.run([sys.executable, "-c", code], cwd=exported[1].parent, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout.replace("'", '"'))) <= set(NAMES.values())


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if name == "torch":  # it may be looked for, but not imported
            spec.loader = self
        return spec

    def create_module(self, spec):
        raise SystemExit("torch is imported")

    exec_module = create_module

others = [*sys.meta_path]
sys.meta_path.insert(0, NoTorch())
from hf_lcl.__main__ import main

main(sys.argv[1:])
"""


@pytest.mark.slow
def test_predict_reads_the_folder_without_torch_and_answers_as_the_classifier_does(exported, tmp_path):
    source, folder = exported
    rows = [("my cake", 1), ("the rage at work " * 30, 2), ("", 3), ("Ärger, proud of the cake", 4)]
    with (tmp_path / "new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("body", "id"), *(row for row in rows if row[0])])
    flags = [str(tmp_path / "new.csv"), "--all_probabilities", "--output_file"]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "predict", str(folder), *flags, str(tmp_path / "onnx.csv")],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    command = [sys.executable, "-c", WITHOUT_TORCH, "predict", str(source), *flags, str(tmp_path / "none.csv")]
    blocked = subprocess.run(command, capture_output=True)
    assert b"torch is imported" in blocked.stderr  # so the check above can fail
    main(["predict", str(source), *flags, str(tmp_path / "torch.csv")])
    read = [list(csv.reader((tmp_path / name).open(encoding="utf-8"))) for name in ("onnx.csv", "torch.csv")]
    assert len(read[0]) == 4
    for mine, other in zip(*read):
        assert mine[:4] == other[:4]
    values = [np.array([row[4:] for row in table[1:]], dtype=float) for table in read]
    np.testing.assert_allclose(*values, atol=1e-5)


@pytest.mark.slow
def test_a_classifier_of_several_labels_is_checked_by_all_of_them(in_int8, save, tmp_path, capsys, monkeypatch):
    """The graph is the same as for one label per text with the same weights, and is not traced again."""
    source = save(in_int8.architecture, problem_type="multi_label_classification")
    folder, weights = tmp_path / "onnx", [path / "model.safetensors" for path in (source, in_int8.source)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    monkeypatch.setattr(export, "export_graph", lambda model, tokenizer, path: shutil.copy(in_int8.whole, path))
    rows = [{"text": "my cake", "labels": ["glad", "proud"]}, {"text": "the rage at work", "labels": ["angry"]}]
    (tmp_path / "check.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 20))
    flags = ["--int8", "--check_file", str(tmp_path / "check.jsonl"), "--label_column_name", "labels"]
    export.main([str(source), str(folder), *flags, "--max_drop", "50"])
    assert "int8: accuracy " in capsys.readouterr().out
    outputs = [tmp_path / "onnx.csv", tmp_path / "torch.csv"]
    for model, path in zip((folder, source), outputs):
        main(["predict", str(model), str(tmp_path / "check.jsonl"), "--all_probabilities", "--output_file", str(path)])
    mine, other = (list(csv.DictReader(path.open(encoding="utf-8"))) for path in outputs)
    for row in (*mine, *other):
        given = [name for name in NAMES.values() if float(row[f"p({name})"]) > 0.5]
        assert row["label"] == "|".join(given)
    for name in NAMES.values():
        assert float(mine[0][f"p({name})"]) == pytest.approx(float(other[0][f"p({name})"]), abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
def test_long_texts_are_cut_on_the_side_of_the_tokenizer(exported, tmp_path, side):
    shutil.copytree(exported[1], tmp_path / "onnx")
    settings = json.loads((tmp_path / "onnx" / "tokenizer_config.json").read_text())
    (tmp_path / "onnx" / "tokenizer_config.json").write_text(json.dumps(settings | {"truncation_side": side}))
    text = "the party was sunny and my neighbour won a medal at home"
    expected = AutoTokenizer.from_pretrained(exported[0], truncation_side=side)(text, truncation=True, max_length=6)
    (found,) = OnnxClassifier(tmp_path / "onnx").encode([text], max_length=6)
    assert found.ids == expected["input_ids"]


@pytest.mark.slow
def test_settings_of_the_training_say_how_texts_are_read_and_nothing_else(exported):
    assert (exported[1] / "settings.yaml").read_text() == "text_column_names: body\n"


@pytest.mark.slow
def test_logits_that_differ_are_an_error_and_leave_no_graph(save, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    assert "differ by" in fails(save("distilbert"), tmp_path / "onnx")
    assert list((tmp_path / "onnx").iterdir()) == []


@pytest.mark.slow
def test_large_logits_may_differ_by_as_much_as_their_digits(save, tmp_path, capsys):
    """Such as those of a small encoder trained from scratch: here, neighbouring floats differ by 1e-3."""
    folder = save("distilbert")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.weight *= 1e4
    model.save_pretrained(folder)
    export.main([str(folder), str(tmp_path / "onnx")])
    assert float(re.search(r"by ([\d.e+-]+) at most", capsys.readouterr().out)[1]) > 1e-4


@pytest.mark.slow
def test_layers_stay_in_float32_until_the_answers_are_the_same(exported, raw_splits, tmp_path):
    """Each attempt quantises less, leaving out the last layer first; in the end only one kind of layer is in int8."""
    _, folder = exported
    texts = raw_splits["test"]["text"][:]
    original = gate.OnnxClassifier(folder).logits(texts)
    references = original.argmax(axis=1)
    path, tried, weights, errors = tmp_path / "int8.onnx", [], [], []
    for kept, found in gate.attempts(folder, path, texts, original, references, 32):
        tried.append(kept)
        assert found.drop == found.changed == 100 - found.accuracy
        weights.append({tensor.name for tensor in onnx.load(path).graph.initializer if tensor.data_type == 1})
        errors.append(np.abs(gate.OnnxClassifier(folder, path).logits(texts) - original).mean())
    kinds = list(graph.layers(folder / "model.onnx"))
    assert len(errors) == len(kinds)
    assert tried[:2] == [[], ["classifier"]]
    assert all(set(kept) < set(more) < set(kinds) for kept, more in pairwise(tried))
    assert "classifier.weight" not in weights[0]
    assert any(name.startswith("classifier.weight") for name in weights[1])
    assert 0 < errors[-1] < errors[0] / 2


def test_a_check_counts_lost_and_changed_answers():
    original = np.array([[2.0, 1], [1, 2], [1, 2], [2, 1]])
    logits = np.array([[2.0, 1], [2, 1], [1, 2], [1, 2]])
    found = gate.check(logits, original, np.array([0, 1, 1, 1]))
    assert (found.accuracy, found.drop, found.changed) == (75, 0, 50)
    several = gate.check(logits - 1.5, original - 1.5, np.array([[1, 0], [0, 1], [1, 1], [0, 0]]))
    assert (several.accuracy, several.drop, several.changed) == (25, 25, 50)


def test_a_missing_package_is_an_error_that_names_the_extra(save, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = fails(save("bert"), tmp_path / "onnx")
    assert message == 'error: No onnxruntime is installed: pip install "hf_lcl[onnx]".'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is no folder"),
        ({}, "No classifier can be loaded from"),
        ({"model.safetensors": b"broken"}, "is cut short or broken"),
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
    assert "it has no weights for classifier.bias, classifier.weight" in message


def test_refusals_before_anything_is_written(plain, labelled, tmp_path):
    unlabelled = tmp_path / "texts.csv"
    unlabelled.write_text("text\nmy cake\n")
    (tmp_path / "link").symlink_to(plain)
    before = {path.name: path.read_bytes() for path in plain.iterdir()}
    out = tmp_path / "onnx"
    assert "link holds a classifier, whose files would be written over" in fails(plain, tmp_path / "link")
    message = fails(plain, out, "--format", "openvino")
    assert "--format openvino is unknown: use onnx. OpenVINO reads that graph as it is" in message
    assert f'openvino.compile_model("{out / "model.onnx"}")' in message
    assert "--int8 needs --check_file FILE" in fails(plain, out, "--int8")
    assert "has no label column 'label'" in fails(plain, out, "--int8", "--check_file", unlabelled)
    assert "--max_drop -1 must be points" in fails(plain, out, "--check_file", labelled, "--max_drop", "-1")
    for path in plain.glob("token*"):
        path.unlink()
    assert "holds no tokenizer" in fails(plain, out)
    assert not out.exists()
    assert all((plain / name).read_bytes() == content for name, content in before.items() if "token" not in name)
