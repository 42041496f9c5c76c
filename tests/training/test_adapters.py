"""LoRA: which weights are trained and saved; the classifier head is never lost."""

import sys

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
)

from hf_lcl import ContrastiveTrainer, LCLForSequenceClassification
from hf_lcl.model.adapters import head_modules


LORA = LoraConfig(r=4, lora_alpha=64, target_modules=["query", "value"])


@pytest.fixture
def train(make_trainer, encoder_folder):
    """Trains on the tiny encoder with an adapter; keyword arguments are training arguments."""

    def train(adapter=LORA, weighting="head", resume=None, **settings):
        settings = {"max_steps": 2, "learning_rate": 5e-3} | settings
        torch.manual_seed(0)
        model = LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4, weighting=weighting)
        trainer = make_trainer(model=model, peft_config=adapter, **settings)
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return train


@torch.no_grad()
def logits_of(trainer: ContrastiveTrainer, model: torch.nn.Module | None = None) -> torch.Tensor:
    rows = [{key: row[key] for key in ("input_ids", "attention_mask")} for row in trainer.eval_dataset]
    batch = trainer.processing_class.pad(rows, return_tensors="pt")
    return (model or trainer.model).eval()(**batch).logits


@pytest.mark.parametrize(
    ("adapter", "weighting"),
    [(LORA, "head"), (LoraConfig(target_modules="all-linear"), "encoder"), (IA3Config(), "classifier")],
    ids=["lora", "all", "ia3"],
)
def test_the_adapter_and_the_heads_learn_and_nothing_else(train, encoder_folder, weighting, adapter):
    if isinstance(adapter, IA3Config):
        adapter = IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"])
    trainer = train(adapter, weighting=weighting)
    encoder = load_file(encoder_folder / "model.safetensors")
    frozen = 0
    for name, parameter in trainer.model.native.bert.named_parameters():
        plain = name.replace(".base_layer", "")
        if plain in encoder and "modules_to_save" not in name:
            assert torch.equal(parameter, encoder[plain]), name
            assert not parameter.requires_grad
            frozen += 1
    assert frozen > 30
    learned = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    assert any("classifier" in name for name in learned)
    assert any("pooler" in name for name in learned)
    assert any("lora" in name or "ia3" in name for name in learned)
    assert any("weighting_network" in name for name in learned) == (weighting != "classifier")


@pytest.mark.parametrize(
    ("objective", "several"),
    [("ce", False), ("lcl", True), pytest.param("lcl", False, marks=pytest.mark.slow)],
)
def test_the_saved_model_is_the_merged_standard_classifier(train, objective, several, tmp_path):
    trainer = train(objective=objective, several=several, weighting="head" if objective == "lcl" else "none")
    before = logits_of(trainer)
    trainer.save_model()
    again, report = AutoModelForSequenceClassification.from_pretrained(
        trainer.args.output_dir, output_loading_info=True
    )
    assert not [key for kind in report.values() for key in kind]
    assert (again.config.problem_type == "multi_label_classification") == several
    assert (logits_of(trainer, again) - before).abs().max() < 1e-5
    assert torch.equal(logits_of(trainer), before), "saving must leave the model that is being trained alone"
    files = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    classifier = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert files == classifier | {"trainer_state.json"}, "the classifier, and which run it comes from"


def test_the_adapter_alone_is_loaded_by_peft_with_its_head(train, several, encoder_folder, tmp_path):
    trainer = train(merge_adapter=False, several=several, max_steps=1)
    before = logits_of(trainer)
    trainer.save_model()
    folder = tmp_path / "out"
    config = AutoConfig.from_pretrained(folder)
    assert config.id2label == trainer.model.config.id2label
    assert (config.problem_type == "multi_label_classification") == several
    torch.manual_seed(99)
    base = AutoModelForSequenceClassification.from_pretrained(encoder_folder, config=config)
    again = PeftModel.from_pretrained(base, folder)
    assert torch.equal(logits_of(trainer, again), before)
    assert any("classifier" in name for name in load_file(folder / "adapter_model.safetensors"))
    assert not (folder / "model.safetensors").exists()
    assert str(tmp_path) not in "".join(path.read_text() for path in folder.glob("*.json"))
    assert "PeftModel.from_pretrained" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("weighting", "several"),
    [("head", True), ("encoder", False), pytest.param("head", False, marks=pytest.mark.slow)],
)
def test_a_resumed_run_ends_in_the_same_weights(train, weighting, several):
    settings = {"save_strategy": "steps", "save_steps": 1, "weighting": weighting, "several": several}
    whole = train(**settings, folder="whole")
    checkpoint = f"{whole.args.output_dir}/checkpoint-1"
    resumed = train(**settings, folder="resumed", resume=checkpoint)
    for (name, parameter), other in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(parameter, other), name


def test_the_best_model_is_loaded_with_adapter_and_head(train):
    trainer = train(
        save_strategy="steps",
        save_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss_ce",
    )
    best = LCLForSequenceClassification.from_pretrained(trainer.state.best_model_checkpoint)
    assert torch.equal(logits_of(trainer), logits_of(trainer, best))


def test_a_checkpoint_is_a_whole_model_with_its_adapter(train):
    trainer = train(save_strategy="steps", save_steps=2)
    again, report = LCLForSequenceClassification.from_pretrained(
        f"{trainer.args.output_dir}/checkpoint-{trainer.state.global_step}", output_loading_info=True
    )
    assert not [key for kind in report.values() for key in kind]
    assert torch.equal(logits_of(trainer, again), logits_of(trainer))
    assert [n for n, p in again.named_parameters() if p.requires_grad] == [
        n for n, p in trainer.model.named_parameters() if p.requires_grad
    ]


def test_gradient_checkpointing_reaches_the_adapter(train):
    plain, saved = train(max_steps=2), train(max_steps=2, gradient_checkpointing=True)
    assert torch.allclose(logits_of(plain), logits_of(saved), atol=1e-5)


def test_every_head_of_two_layers_is_trained(tokenizer):
    config = ElectraConfig(
        vocab_size=len(tokenizer), hidden_size=32, embedding_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = LCLForSequenceClassification.from_native(ElectraForSequenceClassification(config))
    model.attach_adapter(LoraConfig(target_modules="all-linear"))
    learned = [name for name, parameter in model.native.classifier.named_parameters() if parameter.requires_grad]
    assert len(learned) == 4
    assert head_modules(model.native) == ["classifier"]


class TestNoAdapter:
    """Configurations that are refused as adapters."""

    @pytest.mark.parametrize(
        ("adapter", "error", "message"),
        [
            ({"r": 4}, TypeError, "peft_config is a dict: use peft.LoraConfig"),
            (PromptTuningConfig(num_virtual_tokens=4), ValueError, "learns a prompt"),
        ],
    )
    def test_what_peft_config_may_be(self, make_trainer, adapter, error, message):
        with pytest.raises(error, match=message):
            make_trainer(peft_config=adapter)

    def test_a_second_adapter(self, bert):
        model = LCLForSequenceClassification.from_native(bert)
        model.attach_adapter(LORA)
        with pytest.raises(ValueError, match="has an adapter already"):
            model.attach_adapter(LORA)

    def test_without_peft_the_error_names_the_extra(self, bert, monkeypatch):
        model = LCLForSequenceClassification.from_native(bert)
        monkeypatch.setitem(sys.modules, "peft", None)
        with pytest.raises(ImportError, match=r'pip install "hf_lcl\[peft\]"'):
            model.attach_adapter(LORA)


@pytest.mark.parametrize("part", ["model", "model.native"])
def test_an_adapter_that_was_put_into_the_wrapper_is_refused(make_trainer, bert, part):
    model = LCLForSequenceClassification.from_native(bert)
    (model if part == "model" else model.native).add_adapter(LORA)
    with pytest.raises(TypeError, match="has an adapter already"):
        make_trainer(model, objective="lcl")
