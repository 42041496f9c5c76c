"""Every architecture of transformers' sequence-classification mapping is wrapped and exported to the last bit."""

import warnings
from functools import partial

import architecture_report
import pytest
import torch
from launching import run_copy
from tiny_architectures import ARCHITECTURES, EVERY_ARCHITECTURE, tiny_config, tiny_inputs, tiny_wrapper
from transformers import AutoModel, LayoutLMv2ForSequenceClassification, PreTrainedModel, set_seed

from hf_lcl import LCLForSequenceClassification
from hf_lcl.losses.cross_entropy import cross_entropy
from hf_lcl.losses.objective import Objective
from hf_lcl.model.hidden_states import run_with_last_hidden_state
from hf_lcl.model.pooling import pool, pooled_tokens


@pytest.fixture(autouse=True)
def quiet():
    """Silences architectures that warn about their own defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_every_loss_reaches_what_it_should_train(name, several):
    model, inputs = tiny_wrapper(name)
    output = model.train()(**inputs)
    labels = torch.arange(len(output.logits)) % 3
    if several:  # none, one or two for a text
        labels = torch.eye(output.logits.shape[1])[labels] + torch.eye(output.logits.shape[1])[0]
        labels = labels.clamp(max=1) * (torch.arange(len(labels)) != 1).unsqueeze(1)
    contrastive_alone = Objective("lcl", alpha=0.0)
    losses = {
        "classifier": cross_entropy(output.logits, labels),
        "weighting": cross_entropy(output.weighting_logits, labels),
        "contrastive": contrastive_alone(output.logits, output.embeddings, output.weighting_logits, labels)[0],
    }
    body = set(model.native.base_model.parameters())
    modules = {
        "encoder": body,
        "head": set(model.native.parameters()) - body,
        "weighting network": set(model.weighting_network.parameters()),
    }
    reached = {}
    for loss, value in losses.items():
        model.zero_grad()
        value.backward(retain_graph=True)
        trained = {
            parameter for parameter in model.parameters() if parameter.grad is not None and parameter.grad.any()
        }
        reached[loss] = {module for module, parameters in modules.items() if parameters & trained}
    assert reached == {
        "classifier": {"encoder"} if name == "perceiver" else {"encoder", "head"},  # its head is part of its body
        "weighting": {"encoder", "weighting network"},
        "contrastive": {"encoder", "weighting network"},
    }


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_the_wrapper_itself_comes_back(name, tmp_path):
    model, inputs = tiny_wrapper(name)
    model.save_pretrained(tmp_path)
    again, report = LCLForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not [key for kind in report.values() for key in kind]
    with torch.no_grad():
        for field, value in model(**inputs).items():
            assert torch.equal(value, again(**inputs)[field]), field


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_a_bare_encoder_checkpoint_is_a_start(name, tmp_path, tokenizer):
    config = tiny_config(name)
    config.architectures = []  # AutoModel looks there when it chooses between the two encoders of Funnel
    encoder = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter.uniform_()  # biases and norms start as constants, which are always equal
    encoder.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)  # pooling="mean" needs the special tokens

    model = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=3)
    saved, loaded = encoder.state_dict(), model.native.base_model.state_dict()
    for key in saved.keys() & loaded.keys():
        assert torch.equal(saved[key], loaded[key]), key
    parts_of_one_side = {key.partition(".")[0] for key in saved.keys() ^ loaded.keys()}
    assert parts_of_one_side <= {
        "funnel": {"decoder"},  # not used for classification
        "perceiver": {"input_preprocessor", "decoder"},  # for text and labels: a bare Perceiver has neither
    }.get(name, {"pooler"})
    assert model(**tiny_inputs(name, config)).logits.shape == (6, 3)


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_gradient_checkpointing_changes_no_gradient(name):
    model, inputs = tiny_wrapper(name)
    model.train()
    # Checkpointing turns the cache off, without which some decoders differ in the last bit; so both run without it.
    model.native.config.get_text_config().use_cache = False

    def gradients() -> dict[str, torch.Tensor | None]:
        set_seed(0)
        output = model(**inputs)
        model.zero_grad()
        (output.logits.square().sum() + output.embeddings.square().sum()).backward()
        return {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}

    if not model.supports_gradient_checkpointing:
        with pytest.raises(ValueError, match="does not support"):
            model.activation_checkpointing_enable()
        return
    expected = gradients()
    model.activation_checkpointing_enable()
    found = gradients()
    assert found.keys() == expected.keys()
    for key, gradient in found.items():
        assert torch.equal(gradient, expected[key]), key


@pytest.mark.parametrize(
    "name", [param for param in EVERY_ARCHITECTURE if param.values[0] not in architecture_report.OTHER_READING]
)
def test_pooling_takes_the_positions_that_the_architectures_own_classifier_reads(name):
    model, inputs = tiny_wrapper(name)
    if name == "reformer":
        model.train()  # its backward pass runs in training only
    output, hidden = run_with_last_hidden_state(model.native, inputs)
    hidden.retain_grad()
    output.logits.sum().backward(retain_graph=True)
    read = hidden.grad.abs().sum(dim=-1) > 0
    hidden.grad = None
    model.zero_grad()
    full = {"attention_mask": None} | inputs
    pool(hidden, pooled_tokens(model.config, hidden, full), model.config.pooling).sum().backward()
    assert torch.equal(hidden.grad.abs().sum(dim=-1) > 0, read)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The measurements of every architecture."""
    printed = tmp_path_factory.mktemp("printed") / "by_the_copy"
    run = partial(run_copy, output=printed)
    return architecture_report.measure(ARCHITECTURES, tmp_path_factory.mktemp("exports"), run)


@pytest.mark.slow
def test_every_architecture_comes_out_to_the_last_bit(measured):
    assert [one for one in measured if one.wrong_keys or not (one.logits_equal and one.has_several_labels)] == []
    assert {one.name for one in measured if not one.hidden_equal} == architecture_report.OTHER_BASE_MODEL.keys()


@pytest.mark.slow
def test_the_tables_say_what_was_measured(measured):
    command = "run python tests/architecture_report.py"
    full = architecture_report.FULL_TABLE.read_text(encoding="utf-8")
    assert full == architecture_report.full_table(measured), command
    assert architecture_report.page_block(measured) in architecture_report.PAGE.read_text(encoding="utf-8"), command


class TestRefused:
    """The error message says why an architecture cannot be wrapped."""

    reason = "layoutlmv2 cannot be used: its classifier reads the picture of a page .* detectron2"

    def test_by_name_before_any_weight_is_looked_for(self, tmp_path):
        tiny_config("layoutlmv2").save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=self.reason):
            LCLForSequenceClassification.from_encoder(tmp_path, num_labels=3)

    def test_in_memory(self):
        # Without its base model, which cannot be built here.
        native = object.__new__(LayoutLMv2ForSequenceClassification)
        PreTrainedModel.__init__(native, tiny_config("layoutlmv2"))
        with pytest.raises(ValueError, match=self.reason):
            LCLForSequenceClassification.from_native(native)
