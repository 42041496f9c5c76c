"""Saving writes a complete classifier, or changes nothing."""

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.hub import save_adapter, save_sequence_classifier


@pytest.fixture
def saved(bert, tmp_path):
    """A folder with the classifier, saved before the test changes it."""
    save_sequence_classifier(LCLForSequenceClassification.from_native(bert), tmp_path / "saved")
    return tmp_path / "saved"


def replace_the_head(bert):
    bert.classifier = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(32, 4))


def change_the_configuration(bert):
    bert.config.layer_norm_eps = 5.0


def change_what_a_layer_computes(bert):
    class Doubled(torch.nn.Linear):
        def forward(self, features):
            return 2 * super().forward(features)

    bert.classifier = Doubled(32, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_the_head, r"would not be whole \(4 weights, classifier.1.bias"),
        (change_the_configuration, "would give other logits"),
        (change_what_a_layer_computes, "would give other logits"),
    ],
)
def test_what_would_load_as_another_classifier_is_not_written(bert, saved, change, message):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    change(bert)
    with pytest.raises(ValueError, match=rf"saved was left as it was: a BertForSequenceClassification .*{message}"):
        save_sequence_classifier(LCLForSequenceClassification.from_native(bert), saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_saving_leaves_the_mode_of_every_module(bert, tmp_path):
    model = LCLForSequenceClassification.from_native(bert.train())
    bert.bert.embeddings.eval()  # as users do who freeze it
    save_sequence_classifier(model, tmp_path)
    assert bert.bert.encoder.training
    assert not bert.bert.embeddings.dropout.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_whatever_its_precision(bert, tmp_path, dtype):
    save_sequence_classifier(LCLForSequenceClassification.from_native(bert.to(dtype)), tmp_path)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).dtype == dtype


def test_a_tokenizer_with_two_chat_templates_is_saved_again_over_itself(bert, tokenizer, tmp_path):
    model, tokenizer = LCLForSequenceClassification.from_native(bert), copy.deepcopy(tokenizer)
    for hint in ("first", "second"):
        tokenizer.chat_template = {"default": "{{ messages }}", "tool_use": f"{{{{ tools }}}} {hint}"}
        save_sequence_classifier(model, tmp_path, tokenizer=tokenizer)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == tokenizer.chat_template
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).num_labels == 4
    assert not list(tmp_path.glob(".*"))


def test_an_adapter_with_another_head_is_not_written(bert, tmp_path, monkeypatch):
    model = LCLForSequenceClassification.from_native(bert)
    model.attach_adapter(LoraConfig(target_modules=["query"]))
    adapted = model.adapted_classifier
    save = type(adapted).save_pretrained

    def save_another_head(self, folder):
        save(self, folder)
        folder = Path(folder)
        weights = load_file(folder / "adapter_model.safetensors")
        weights["base_model.model.classifier.weight"].mul_(2)
        save_file(weights, folder / "adapter_model.safetensors")

    monkeypatch.setattr(type(adapted), "save_pretrained", save_another_head)
    with pytest.raises(ValueError, match="would give other logits"):
        save_adapter(model, tmp_path / "adapter")
    assert list((tmp_path / "adapter").iterdir()) == []


def test_without_an_adapter_there_is_none_to_save(bert, tmp_path):
    with pytest.raises(ValueError, match="has no adapter: save the classifier"):
        save_adapter(LCLForSequenceClassification.from_native(bert), tmp_path)


def test_a_sharded_classifier_is_compared_by_its_weights_alone(bert, tmp_path):
    """If each process holds a shard, none can run the whole model."""
    model = LCLForSequenceClassification.from_native(bert)
    save_sequence_classifier(model, tmp_path, state_dict=model.state_dict())
    again = BertForSequenceClassification.from_pretrained(tmp_path)
    for name, tensor in bert.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
