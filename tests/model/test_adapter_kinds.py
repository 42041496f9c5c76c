"""Every kind of adapter in `peft` is saved completely, or refused before training."""

import copy

import pytest
import torch
from peft import (
    AdaLoraConfig,
    BOFTConfig,
    FourierFTConfig,
    HRAConfig,
    IA3Config,
    LilyConfig,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PolyConfig,
    ShiraConfig,
    TrainableTokensConfig,
    VBLoRAConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.hub import save_adapter, save_sequence_classifier


LAYERS = ["query", "value", "dense"]
KINDS = {
    "lora": LoraConfig(target_modules=LAYERS),
    "adalora": AdaLoraConfig(target_modules=["query"], total_step=10),
    "boft": BOFTConfig(target_modules=LAYERS, boft_block_size=4),
    "fourierft": FourierFTConfig(target_modules=LAYERS, n_frequency=10),
    "hra": HRAConfig(target_modules=LAYERS),
    "ia3": IA3Config(target_modules=["key", "output.dense"], feedforward_modules=["output.dense"]),
    "layernorm": LNTuningConfig(target_modules=["LayerNorm"]),
    "loha": LoHaConfig(target_modules=LAYERS),
    "lokr": LoKrConfig(target_modules=LAYERS),
    "oft": OFTConfig(target_modules=LAYERS, oft_block_size=4),
    "shira": ShiraConfig(target_modules=LAYERS, r=2),
    "vblora": VBLoRAConfig(target_modules=LAYERS, vector_length=8, num_vectors=16, topk=2),
    "vera": VeraConfig(target_modules=["query", "value"], r=4),
}
INPUTS = {"input_ids": torch.arange(5, 25).view(2, 10)}


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model.eval()(**INPUTS).logits


@pytest.fixture
def trained(bert):
    """Attaches an adapter and perturbs all trainable parameters."""

    def trained(kind: str) -> LCLForSequenceClassification:
        model = LCLForSequenceClassification.from_native(copy.deepcopy(bert))
        before = logits(model)
        model.attach_adapter(KINDS[kind])
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
        assert (logits(model) - before).abs().max() > 0.01
        return model

    return trained


def problems(report: dict) -> list:
    return [key for kind in report.values() for key in kind]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_whole(trained, tmp_path, kind):
    model = trained(kind)
    expected = logits(model)
    save_sequence_classifier(model, tmp_path / "export")
    plain, report = AutoModelForSequenceClassification.from_pretrained(tmp_path / "export", output_loading_info=True)
    assert problems(report) == []
    torch.testing.assert_close(logits(plain), expected, atol=1e-5, rtol=0)

    # A checkpoint contains the adapter, with the parameters that it shares among layers.
    model.save_pretrained(tmp_path / "checkpoint")
    again, report = LCLForSequenceClassification.from_pretrained(tmp_path / "checkpoint", output_loading_info=True)
    assert problems(report) == []
    torch.testing.assert_close(logits(again), expected, atol=1e-6, rtol=0)
    trainable = [[name for name, p in one.named_parameters() if p.requires_grad] for one in (model, again)]
    assert trainable[0] == trainable[1]

    save_adapter(model, tmp_path / "adapter")  # checks itself that peft loads it with these logits


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (LilyConfig(target_modules=["query"], r=2, num_B=2), "not supported for Lily"),
        (PolyConfig(target_modules=["query"], r=2), "task_ids"),
        (TrainableTokensConfig(token_indices=[5, 6]), "leaves the classifier's own layers frozen"),
    ],
)
def test_what_cannot_become_a_whole_classifier_is_refused_before_training(bert, config, reason):
    model = LCLForSequenceClassification.from_native(bert)
    message = rf"{type(config).__name__} cannot be used for a BertForSequenceClassification: .*{reason}.*LoraConfig"
    with pytest.raises(ValueError, match=message):
        model.attach_adapter(config)
    assert model.config.adapter is None


class TestCarriesAnAdapter:
    """A classifier that already has an adapter: its head would stay frozen."""

    message = r"has an adapter already: .*peft_config=LoraConfig"

    def test_a_peft_model(self, bert):
        with pytest.raises(TypeError, match="PeftModelForSequenceClassification " + self.message):
            LCLForSequenceClassification.from_native(get_peft_model(bert, LoraConfig(task_type="SEQ_CLS")))

    def test_the_classifier_inside_a_peft_model(self, bert):
        get_peft_model(bert, LoraConfig(task_type="SEQ_CLS"))
        with pytest.raises(TypeError, match=self.message):
            LCLForSequenceClassification.from_native(bert)

    def test_add_adapter(self, bert):
        bert.add_adapter(LoraConfig())
        with pytest.raises(TypeError, match=self.message):
            LCLForSequenceClassification.from_native(bert)

    @pytest.mark.parametrize("has_config", [True, False])
    def test_a_folder_of_peft(self, bert, tmp_path, has_config):
        bert.save_pretrained(tmp_path / "base")
        base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
        get_peft_model(base, LoraConfig(task_type="SEQ_CLS")).save_pretrained(tmp_path / "adapter")
        if has_config:
            bert.config.save_pretrained(tmp_path / "adapter")
        with pytest.raises(ValueError, match=r"holds an adapter.*peft_config=LoraConfig.*merge_and_unload"):
            LCLForSequenceClassification.from_encoder(tmp_path / "adapter", num_labels=4)
        if not has_config:
            loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "adapter")
            with pytest.raises(TypeError, match=self.message):
                LCLForSequenceClassification.from_native(loaded)

    def test_a_merged_one_is_taken(self, bert):
        merged = get_peft_model(bert, LoraConfig(task_type="SEQ_CLS")).merge_and_unload()
        assert logits(LCLForSequenceClassification.from_native(merged)).shape == (2, 4)
