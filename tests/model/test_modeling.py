"""LCLForSequenceClassification: one pass, exact export, a real PreTrainedModel."""

import ast
import re
import sys
from pathlib import Path

import pytest
import torch
from launching import run_copy
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertModel,
)
from transformers.dynamic_module_utils import get_imports

from hf_lcl import LCLForSequenceClassification
from hf_lcl.model import modeling


TEXTS = ["furious neighbour", "cake at the party today", "won a medal"]


@pytest.fixture
def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


@pytest.fixture
def model(bert):
    return LCLForSequenceClassification.from_native(bert).eval()


def test_outputs_have_the_shapes_of_the_contract(model, batch):
    output = model(**batch)
    assert output.logits.shape == (3, 4)
    assert output.weighting_logits.shape == (3, 4)
    assert output.embeddings.shape == (3, 32)
    assert output.loss is None


def test_logits_are_the_native_classifiers_to_the_last_bit(model, batch):
    assert torch.equal(model(**batch).logits, model.to_sequence_classifier()(**batch).logits)


def test_the_encoder_runs_once(model, batch):
    calls = []
    model.native.bert.encoder.register_forward_hook(lambda *_: calls.append(1))
    model(**batch)
    assert len(calls) == 1


def test_embeddings_are_the_first_position_of_the_last_hidden_state(model, batch):
    assert torch.equal(model(**batch).embeddings, model.native.bert(**batch).last_hidden_state[:, 0])


def test_labels_give_the_cross_entropy_of_the_native_classifier(model, batch, several):
    labels = torch.tensor([0, 3, 2])
    if several:
        model.native.config.problem_type = "multi_label_classification"
        labels = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    expected = model.to_sequence_classifier()(**batch, labels=labels).loss
    assert torch.equal(model(**batch, labels=labels).loss, expected)


def test_a_tuple_is_returned_where_asked_for(model, batch):
    logits, weighting_logits, embeddings = model(**batch, return_dict=False)
    assert logits.shape == weighting_logits.shape == (3, 4)
    assert embeddings.shape == (3, 32)


def test_layers_and_attentions_are_returned_where_asked_for(bert_config, batch):
    bert_config._attn_implementation = "eager"
    model = LCLForSequenceClassification.from_native(BertForSequenceClassification(bert_config))
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == 3
    assert len(output.attentions) == 2


class TestWeighting:
    """The four kinds of weighting network."""

    def test_head_gets_its_gradient_from_its_own_logits(self, model, batch):
        model(**batch).weighting_logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.weighting_network.parameters())

    def test_the_encoder_gets_the_gradient_that_the_chain_rule_gives(self, model, batch):
        output = model(**batch)
        gradient = torch.autograd.grad(output.weighting_logits.sum(), output.embeddings, retain_graph=True)[0]
        network = model.weighting_network
        hidden = network.dense(output.embeddings).detach()
        cdf = 0.5 * (1 + torch.erf(hidden / 2**0.5))
        slope = cdf + hidden * torch.exp(-hidden.square() / 2) / (2 * torch.pi) ** 0.5  # derivative of the GELU
        expected = (network.out_proj.weight.sum(dim=0) * slope) @ network.dense.weight
        torch.testing.assert_close(gradient, expected.detach())
        output.weighting_logits.sum().backward()
        assert model.native.bert.encoder.layer[0].output.dense.weight.grad.abs().sum() > 0

    def test_encoder_is_a_second_network_with_a_head_of_its_own(self, bert, batch):
        model = LCLForSequenceClassification.from_native(bert, weighting="encoder").eval()
        output = model(**batch)
        assert torch.equal(
            model.weighting_network.bert.embeddings.word_embeddings.weight, bert.bert.embeddings.word_embeddings.weight
        )
        assert not torch.equal(model.weighting_network.classifier.weight, bert.classifier.weight)
        assert torch.equal(output.weighting_logits, model.weighting_network(**batch).logits)
        output.weighting_logits.sum().backward()
        assert bert.classifier.weight.grad is None

    def test_classifier_gives_its_own_logits_detached(self, bert, batch):
        model = LCLForSequenceClassification.from_native(bert, weighting="classifier").eval()
        output = model(**batch)
        assert torch.equal(output.weighting_logits, output.logits)
        assert not output.weighting_logits.requires_grad
        assert model.num_parameters() == bert.num_parameters()

    def test_none_gives_none(self, bert, batch):
        model = LCLForSequenceClassification.from_native(bert, weighting="none")
        assert model(**batch).weighting_logits is None
        assert model.num_parameters() == bert.num_parameters()


class TestSaving:
    """save_pretrained and the Auto classes."""

    @pytest.mark.parametrize("weighting", ["head", "encoder", "classifier", "none"])
    def test_round_trip_keeps_every_output(self, bert, batch, tmp_path, weighting):
        model = LCLForSequenceClassification.from_native(bert, weighting=weighting).eval()
        model.save_pretrained(tmp_path)
        again, report = LCLForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        for name, value in model(**batch).items():
            assert torch.equal(value, again(**batch)[name]), name

    @pytest.mark.parametrize("auto_class", [AutoModel, AutoModelForSequenceClassification])
    def test_the_auto_classes_know_it(self, model, batch, tmp_path, auto_class):
        model.save_pretrained(tmp_path)
        again = auto_class.from_pretrained(tmp_path)
        assert isinstance(again, LCLForSequenceClassification)
        assert torch.equal(again(**batch).logits, model(**batch).logits)

    def test_the_export_has_no_key_of_ours(self, model, batch, tmp_path):
        model.to_sequence_classifier().save_pretrained(tmp_path)
        again, report = BertForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert torch.equal(again(**batch).logits, model(**batch).logits)

    @pytest.mark.slow
    def test_the_folder_loads_where_hf_lcl_is_not_installed(self, model, batch, tmp_path):
        model.save_pretrained(tmp_path)
        torch.save(dict(batch), tmp_path / "batch.pt")
        script = """
import sys; sys.modules["hf_lcl"] = sys.modules["peft"] = None
import torch
from transformers import AutoModel, AutoModelForSequenceClassification
outputs = []
for auto_class in (AutoModel, AutoModelForSequenceClassification):
    model = auto_class.from_pretrained(sys.argv[1], trust_remote_code=True)
    with torch.no_grad():
        outputs.append(dict(model(**torch.load(sys.argv[1] + "/batch.pt"))))
torch.save(outputs, sys.argv[1] + "/outputs.pt")
"""
        run_copy(["-c", script, str(tmp_path)], tmp_path / "printed")
        outputs = torch.load(tmp_path / "outputs.pt")
        assert len(outputs) == 2
        for name, value in model(**batch).items():
            assert all(torch.equal(output[name], value) for output in outputs), name

    def test_the_code_that_travels_is_the_folder_of_the_model(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        home = Path(modeling.__file__).parent
        files = {path.name for path in home.glob("*.py")} - {"__init__.py"}
        assert {path.name for path in tmp_path.glob("*.py")} - {"__init__.py"} == files
        for name in files:
            assert (tmp_path / name).read_bytes() == (home / name).read_bytes()
            for node in ast.walk(ast.parse((home / name).read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level != 1 else []
                names += [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
                assert not any(re.fullmatch(r"hf_lcl(\.\w+)*", name) for name in names), (name, names)

    def test_the_code_that_travels_asks_for_no_library_but_these(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        asked = {name for path in tmp_path.glob("*.py") for name in get_imports(path)}
        assert asked - sys.stdlib_module_names <= {"torch", "transformers", "safetensors"}

    def test_an_exported_classifier_can_be_wrapped_again(self, model, batch, tmp_path):
        model.to_sequence_classifier().save_pretrained(tmp_path)
        again = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=4).eval()
        assert torch.equal(again(**batch).logits, model(**batch).logits)


class TestFromEncoder:
    """Starting points and their labels."""

    def test_from_a_bare_encoder(self, encoder_folder, batch):
        model = LCLForSequenceClassification.from_encoder(encoder_folder, id2label={0: "sad", 1: "glad", 2: "angry"})
        assert model(**batch).logits.shape == (3, 3)
        assert model.config.label2id == model.native.config.label2id == {"sad": 0, "glad": 1, "angry": 2}

    def test_arguments_of_from_pretrained_are_passed_on(self, encoder_folder):
        model = LCLForSequenceClassification.from_encoder(
            encoder_folder, num_labels=2, dtype=torch.bfloat16, attn_implementation="eager"
        )
        assert model.dtype == model.weighting_network.out_proj.weight.dtype == torch.bfloat16
        assert model.native.config._attn_implementation == "eager"

    def test_distilbert(self, tokenizer, tmp_path, batch):
        config = DistilBertConfig(vocab_size=len(tokenizer), dim=32, hidden_dim=64, n_layers=1, n_heads=2)
        DistilBertModel(config).save_pretrained(tmp_path)
        model = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=5)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        assert model(**inputs).embeddings.shape == (3, 32)

    @pytest.mark.parametrize(
        "labels",
        [
            {"num_labels": 3, "id2label": {0: "a", 1: "b"}},
            {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 1, "b": 0}},
            {"id2label": {0: "a", 2: "b"}},
            {"id2label": {0: "a", 1: "a"}},
            {"label2id": {"a": 0, "b": 2}},
        ],
    )
    def test_labels_that_disagree_are_refused(self, tmp_path, labels):
        with pytest.raises(ValueError, match=r"do not agree: .* each id from 0 to 1 and each name once") as told:
            LCLForSequenceClassification.from_encoder(tmp_path, **labels)
        assert all(f"{name}={value}" in str(told.value) for name, value in labels.items())

    def test_a_folder_without_a_model_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=str(tmp_path)):
            LCLForSequenceClassification.from_encoder(tmp_path, num_labels=2)

    def test_something_else_than_a_classifier_is_refused(self, bert):
        with pytest.raises(TypeError, match="ForSequenceClassification of transformers, got BertModel"):
            LCLForSequenceClassification.from_native(bert.bert)
