"""Whatever a user has on disk can be the start: what is kept, what is new, and that it is said."""

import json
import shutil

import pytest
import torch
from transformers import (
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    ElectraConfig,
    ElectraForPreTraining,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from transformers.utils import logging

from hf_lcl import LCLForSequenceClassification


@pytest.fixture
def said(monkeypatch, caplog):
    """The lines that loading wrote."""
    monkeypatch.setattr(logging.get_logger("transformers"), "propagate", True)

    def lines(name: str) -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == name]

    return lambda: lines("hf_lcl.model.loading")


def same_weights(module: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(module.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, its) for mine, its in pairs)


def test_a_bare_encoder_gets_a_new_classifier(bert, encoder_folder, said):
    model = LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=3)
    assert same_weights(model.native.bert, bert.bert)
    assert said() == [f"{encoder_folder} has no classifier: classifier starts anew."]


def test_a_masked_language_model_gives_its_encoder(bert_config, tmp_path, said):
    pretrained = BertForMaskedLM(bert_config)
    pretrained.save_pretrained(tmp_path)
    model = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=3)
    assert same_weights(model.native.bert.encoder, pretrained.bert.encoder)
    assert said() == [f"{tmp_path} has no classifier: bert.pooler.dense, classifier starts anew."]


def test_the_electra_discriminator_gives_its_encoder(tmp_path, said):
    config = ElectraConfig(
        vocab_size=50,
        hidden_size=32,
        embedding_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    pretrained = ElectraForPreTraining(config)
    pretrained.save_pretrained(tmp_path)
    model = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=3)
    assert same_weights(model.native.electra, pretrained.electra)
    assert "classifier.dense, classifier.out_proj starts anew" in said()[0]


class TestClassifier:
    """A fine-tuned classifier as the start."""

    def test_the_head_for_the_same_classes_is_kept(self, bert, tmp_path, said):
        bert.save_pretrained(tmp_path)
        model = LCLForSequenceClassification.from_encoder(tmp_path)
        assert same_weights(model.native, bert)
        assert said() == [f"{tmp_path} has a classifier for these 4 classes: it is kept."]

    def test_other_names_for_its_classes_are_told(self, bert, tmp_path, said):
        bert.save_pretrained(tmp_path)
        names = {0: "angry", 1: "annoyed", 2: "glad", 3: "proud"}
        model = LCLForSequenceClassification.from_encoder(tmp_path, id2label=names)
        assert same_weights(model.native, bert)
        assert model.config.id2label == model.native.config.id2label == names
        assert "LABEL_0, LABEL_1, LABEL_2, LABEL_3 are now called angry, annoyed, glad, proud" in said()[0]

    @pytest.mark.parametrize("num_labels", [2, 7])
    def test_the_head_for_another_number_of_classes_starts_anew(self, bert, tmp_path, said, num_labels):
        bert.save_pretrained(tmp_path)
        model = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=num_labels)
        assert same_weights(model.native.bert, bert.bert)
        assert model.native.classifier.weight.shape == (num_labels, 32)
        assert model.native.classifier.weight.std() < 0.5  # initialised, not whatever the memory held
        assert said() == [f"{tmp_path} has a classifier for 4 classes, not {num_labels}: classifier starts anew."]

    def test_of_a_head_with_two_layers_only_the_last_starts_anew(self, tmp_path, said):
        config = RobertaConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            num_labels=3,
        )
        pretrained = RobertaForSequenceClassification(config)
        pretrained.save_pretrained(tmp_path)
        model = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=5)
        assert same_weights(model.native.classifier.dense, pretrained.classifier.dense)
        assert said()[0].endswith("not 5: classifier.out_proj starts anew.")


class TestSentenceTransformers:
    """Folders that sentence-transformers wrote."""

    @pytest.fixture
    def folder(self, encoder_folder):
        (encoder_folder / "1_Pooling").mkdir()
        (encoder_folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
        self.write_modules(encoder_folder, "")
        return encoder_folder

    @staticmethod
    def write_modules(folder, path: str) -> None:
        modules = [{"idx": 0, "path": path, "type": "sentence_transformers.models.Transformer"}]
        (folder / "modules.json").write_text(json.dumps(modules))

    def test_the_transformer_beside_the_modules(self, folder, bert):
        model = LCLForSequenceClassification.from_encoder(folder, num_labels=3)
        assert same_weights(model.native.bert, bert.bert)

    @pytest.mark.parametrize("pooling", ["cls", "mean"])
    def test_the_older_layout_with_a_folder_for_the_transformer(self, folder, bert, pooling):
        inner = folder / "0_Transformer"
        inner.mkdir()
        for path in folder.glob("*.*"):
            if path.name != "modules.json":
                shutil.move(path, inner / path.name)
        self.write_modules(folder, "0_Transformer")
        model = LCLForSequenceClassification.from_encoder(folder, num_labels=3, pooling=pooling)
        assert same_weights(model.native.bert, bert.bert)
        assert bool(model.config.special_token_ids) == (pooling == "mean")

    def test_a_real_one(self, minilm):
        model = LCLForSequenceClassification.from_encoder(minilm, num_labels=3)
        assert model.num_parameters() > 22e6


class TestNoStart:
    """What cannot be started from, and what the user reads."""

    def test_a_checkpoint_of_a_run(self, bert, tmp_path):
        LCLForSequenceClassification.from_native(bert).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="is a checkpoint of a training run"):
            LCLForSequenceClassification.from_encoder(tmp_path, num_labels=3)

    def test_the_weights_of_another_architecture(self, encoder_folder):
        DistilBertConfig(dim=32, hidden_dim=64, n_layers=1, n_heads=2).save_pretrained(encoder_folder)
        with pytest.raises(ValueError, match=r"lacks \d+ of the \d+ weights of a DistilBertForSequenceClassification"):
            LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=3)

    def test_a_configuration_of_another_size(self, encoder_folder, bert_config):
        bert_config.intermediate_size = 48
        bert_config.save_pretrained(encoder_folder)
        with pytest.raises(ValueError, match="do not belong together"):
            LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=3)


def test_where_on_the_hub_it_is_reaches_every_request(tmp_path, encoder_folder):
    """Model, configuration and tokenizer come from the same revision, with the same token, into the same cache."""
    # The cache as a download of that revision leaves it: nothing is asked of the network.
    cache, commit = tmp_path / "cache", "a" * 40
    repository = cache / "models--someone--encoder"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "v2").write_text(commit)
    shutil.copytree(encoder_folder, repository / "snapshots" / commit)
    arguments = {"revision": "v2", "token": "hf_0", "cache_dir": str(cache), "trust_remote_code": False}
    model = LCLForSequenceClassification.from_encoder("someone/encoder", num_labels=3, pooling="mean", **arguments)
    assert model.config.special_token_ids
    assert isinstance(model.to_sequence_classifier(), BertForSequenceClassification)
    with pytest.raises(ValueError, match="someone/encoder"):
        LCLForSequenceClassification.from_encoder("someone/encoder", num_labels=3, **arguments | {"revision": "v3"})
