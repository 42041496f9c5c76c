"""Every architecture of transformers' sequence-classification mapping goes in, and comes out to the last bit."""

import json
import os
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import load_file
from tiny_architectures import UNBUILDABLE, tiny_config, tiny_inputs
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from hf_lcl import LCLForSequenceClassification
from hf_lcl.losses import Objective
from hf_lcl.modeling import run_with_last_hidden_state
from hf_lcl.pooling import pool


COMMON = ["bert", "electra", "roberta", "distilbert", "deberta-v2", "modernbert", "llama", "t5"]
ALL = [name for name in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES if name not in UNBUILDABLE]
TYPES = [pytest.param(name, marks=[] if name in COMMON else pytest.mark.slow) for name in ALL]

# AutoModel builds another class than the one inside the classifier.
NO_BASE_MODEL = {
    "funnel": "the classifier uses FunnelBaseModel",
    "longformer": "the classifier adds global attention to the first token",
    "perceiver": "the bare model has no text preprocessor",
}
# The classifier reads something else than the last hidden state.
NO_POSITION = {"canine": "reads the pooled molecules", "perceiver": "decodes all latents"}

LOAD = """
import json, sys, torch
sys.modules["hf_lcl"] = None
from transformers import AutoModel, AutoModelForSequenceClassification
torch.set_num_threads(1)
results = {}
for name in json.loads(sys.argv[2]):
    folder = f"{sys.argv[1]}/{name}"
    inputs = torch.load(f"{folder}/inputs.pt")
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    with torch.no_grad():
        result = {"logits": model(**inputs).logits, "problems": [key for kind in report.values() for key in kind]}
        if name not in json.loads(sys.argv[3]):
            args, kwargs = torch.load(f"{folder}/body.pt")
            result["hidden"] = AutoModel.from_pretrained(folder).eval()(*args, **kwargs)[0]
    results[name] = result
torch.save(results, f"{sys.argv[1]}/results.pt")
"""


@pytest.fixture(autouse=True)
def quiet():
    """Some architectures warn about their own defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def wrapped(name: str) -> tuple[LCLForSequenceClassification, dict[str, torch.Tensor]]:
    """A tiny wrapper in evaluation mode, and a batch for it."""
    torch.manual_seed(0)
    config = tiny_config(name)
    native = AutoModelForSequenceClassification.from_config(config)
    inputs = tiny_inputs(name, config)
    if name == "xlnet":  # its tokenizer pads on the left, and its classifier reads the last position
        inputs = {key: tensor.flip(1) for key, tensor in inputs.items()}
    return LCLForSequenceClassification.from_native(native.eval()), inputs


@pytest.mark.parametrize("name", TYPES)
def test_every_loss_reaches_what_it_should_train(name):
    model, inputs = wrapped(name)
    model.train()
    labels = torch.arange(len(inputs["input_ids"])) % 3
    encoder = list(model.native.base_model.parameters())
    weighting = list(model.weighting_network.parameters())
    for alpha, reached in ((1.0, True), (0.0, False)):
        model.zero_grad()
        output = model(**inputs)
        objective = Objective("lcl", alpha=alpha)
        loss, parts = objective(output.logits, output.embeddings, output.weighting_logits, labels)
        loss.backward()
        assert loss.isfinite()
        assert parts["valid_anchors"].value == 1
        assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder)
        assert all(parameter.grad is not None for parameter in weighting)
        inside = {id(parameter) for parameter in encoder}
        head = [parameter for parameter in model.native.parameters() if id(parameter) not in inside]
        touched = [parameter for parameter in head if parameter.grad is not None and parameter.grad.abs().sum() > 0]
        # Perceiver's classifier stands inside its body.
        assert bool(touched) == (reached and name != "perceiver"), f"alpha={alpha}"


@pytest.mark.parametrize("name", TYPES)
def test_the_wrapper_itself_comes_back(name, tmp_path):
    model, inputs = wrapped(name)
    model.save_pretrained(tmp_path)
    again, report = LCLForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not [key for kind in report.values() for key in kind]
    with torch.no_grad():
        for field, value in model(**inputs).items():
            assert torch.equal(value, again(**inputs)[field]), field


@pytest.mark.parametrize("name", TYPES)
def test_a_checkpoint_restores_every_tensor_by_its_live_name(name, tmp_path):
    # As the Trainer does on resume and for the best model.
    model, _ = wrapped(name)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        for parameter in model.parameters():
            parameter.fill_(123.0)
    model.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=False)
    lost = [key for key, tensor in model.state_dict().items() if not torch.equal(tensor, expected[key])]
    assert lost == []


@pytest.mark.parametrize("name", [param for param in TYPES if param.values[0] not in NO_POSITION])
def test_pooling_takes_the_positions_that_the_architectures_own_classifier_reads(name):
    model, inputs = wrapped(name)
    if name == "reformer":
        model.train()  # its backward pass runs in training only
    output, hidden = run_with_last_hidden_state(model.native, inputs)
    hidden.retain_grad()
    output.logits.sum().backward(retain_graph=True)
    read = hidden.grad.abs().sum(dim=-1) > 0
    hidden.grad = None
    model.zero_grad()
    full = {"attention_mask": None} | inputs
    pool(hidden, model._pooled_tokens(hidden, full), model.config.pooling).sum().backward()
    assert torch.equal(hidden.grad.abs().sum(dim=-1) > 0, read)


@pytest.mark.parametrize(
    "names", [pytest.param(COMMON, id="common"), pytest.param(ALL, id="all", marks=pytest.mark.slow)]
)
def test_exports_are_equal_to_the_last_bit_where_hf_lcl_is_not_installed(names, tmp_path):
    expected = {}
    for name in names:
        model, inputs = wrapped(name)
        native = model.to_sequence_classifier()
        native.save_pretrained(tmp_path / name)
        torch.save(inputs, tmp_path / name / "inputs.pt")
        calls = []
        hook = native.base_model.register_forward_pre_hook(
            lambda module, args, kwargs, calls=calls: calls.append((args, kwargs)), with_kwargs=True
        )
        with torch.no_grad():
            output, hidden = run_with_last_hidden_state(native, inputs)
        hook.remove()
        # What the classifier gives its body, since encoder-decoders make a decoder input of their own.
        torch.save(calls[0], tmp_path / name / "body.pt")
        expected[name] = {"logits": output.logits, "hidden": hidden}
    arguments = [str(tmp_path), json.dumps(names), json.dumps(list(NO_BASE_MODEL))]
    result = subprocess.run([sys.executable, "-c", LOAD, *arguments], env=os.environ, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    loaded = torch.load(tmp_path / "results.pt")
    problems = {}
    for name in names:
        fields = ["logits"] if name in NO_BASE_MODEL else ["logits", "hidden"]
        differ = [field for field in fields if not torch.equal(loaded[name][field], expected[name][field])]
        if differ or loaded[name]["problems"]:
            problems[name] = differ + loaded[name]["problems"]
    assert problems == {}
