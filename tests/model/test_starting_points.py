"""Starting points on disk: which weights are kept, which are new, and the messages about them."""

import json
import shutil

import pytest
import torch
from datasets import ClassLabel
from peft import LoraConfig
from tiny_architectures import EVERY_ARCHITECTURE, tiny_config, tiny_wrapper
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
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
from hf_lcl.model.loading import check_tokenizer


@pytest.fixture
def said(monkeypatch, caplog):
    """The messages logged while loading."""
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
        assert said() == [f"{tmp_path} has a classifier for 4 classes: it is kept."]

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
        assert model.native.classifier.weight.std() < 0.5  # initialised, not uninitialised memory
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


NAMES = ["angry", "annoyed", "glad", "proud"]
INPUTS = {"input_ids": torch.arange(5, 25).view(2, 10)}


class TestNamesInAnotherOrder:
    """A class keeps its weights in the classifier when its id changes."""

    @pytest.fixture
    def finished(self, bert, tmp_path):
        """A folder with a classifier whose classes have names, and its logits by name."""
        bert.config.id2label = dict(enumerate(NAMES))
        bert.config.label2id = {name: index for index, name in enumerate(NAMES)}
        torch.nn.init.normal_(bert.classifier.bias)
        bert.save_pretrained(tmp_path / "finished")
        with torch.no_grad():
            logits = bert.eval()(**INPUTS).logits
        return tmp_path / "finished", dict(zip(NAMES, logits.T, strict=True))

    @torch.no_grad()
    def by_name(self, model):
        logits = model.eval()(**INPUTS).logits
        return {model.config.id2label[index]: column for index, column in enumerate(logits.T)}

    def test_from_a_folder(self, finished, said):
        folder, expected = finished
        now = ["proud", "angry", "glad", "annoyed"]
        model = LCLForSequenceClassification.from_encoder(folder, id2label=dict(enumerate(now)))
        assert list(self.by_name(model)) == now
        for name, column in self.by_name(model).items():
            assert torch.equal(column, expected[name]), name
        assert said() == [
            f"{folder} has a classifier for 4 classes: it is kept, in your order (proud, angry, glad, annoyed)."
        ]

    def test_some_of_the_names(self, finished, said):
        folder, expected = finished
        now = ["proud", "calm", "angry", "annoyed"]
        model = LCLForSequenceClassification.from_encoder(folder, id2label=dict(enumerate(now)))
        found = self.by_name(model)
        for name in ("proud", "angry", "annoyed"):
            assert torch.equal(found[name], expected[name]), name
        assert torch.equal(found["calm"], expected["glad"])
        assert said()[0].endswith("it is kept, and its classes glad are now called calm.")

    def test_names_in_other_capitals(self, finished, said):
        folder, expected = finished
        now = ["Proud", "angry", "GLAD", "Annoyed"]
        model = LCLForSequenceClassification.from_encoder(folder, id2label=dict(enumerate(now)))
        for name, column in self.by_name(model).items():
            assert torch.equal(column, expected[name.lower()]), name
        assert said()[0].endswith("its classes proud, glad, annoyed are now called Proud, GLAD, Annoyed.")

    @pytest.mark.parametrize("now", [["proud", "angry"], ["proud", "calm", "angry", "glad", "annoyed"]])
    def test_fewer_or_more_of_them(self, finished, said, now):
        LCLForSequenceClassification.from_encoder(finished[0], id2label=dict(enumerate(now)))
        both = ", ".join(name for name in now if name != "calm")
        assert said() == [
            f"{finished[0]} has a classifier for 4 classes, not {len(now)}: classifier starts anew, also for the "
            f"classes that both have ({both})."
        ]

    @pytest.mark.parametrize("weighting", ["head", "encoder", "none"])
    def test_in_memory(self, finished, weighting, make_trainer, splits, monkeypatch):
        folder, expected = finished
        native = AutoModelForSequenceClassification.from_pretrained(folder)
        model = LCLForSequenceClassification.from_native(native, weighting=weighting)
        with torch.no_grad():
            before = model.eval()(**INPUTS).weighting_logits
        now = ["proud", "angry", "glad", "annoyed"]
        for split in ("train", "validation"):
            monkeypatch.setitem(splits, split, splits[split].cast_column("labels", ClassLabel(names=now)))
        trainer = make_trainer(model=model, objective="scl")
        assert trainer.model.config.id2label == trainer.model.native.config.id2label == dict(enumerate(now))
        for name, column in self.by_name(trainer.model).items():
            assert torch.equal(column, expected[name]), name
        with torch.no_grad():
            after = trainer.model(**INPUTS).weighting_logits
        if weighting != "none":
            assert torch.equal(after, before[:, [NAMES.index(name) for name in now]])

    def test_an_adapter_fixes_the_order(self, bert):
        model = LCLForSequenceClassification.from_native(bert)
        model.set_class_names(NAMES)
        model.attach_adapter(LoraConfig(target_modules=["query"]))
        model.set_class_names(NAMES)
        with pytest.raises(ValueError, match="fixes the order of its classes: angry, annoyed, glad, proud"):
            model.set_class_names(NAMES[::-1])

    @pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
    def test_in_every_architecture(self, architecture):
        model, inputs = tiny_wrapper(architecture)
        model.set_class_names(["a", "b", "c", "d", "e"])

        def logits():
            torch.manual_seed(0)
            with torch.no_grad():
                return model.eval()(**inputs).logits

        before = logits()
        model.set_class_names(["c", "e", "a", "b", "d"])
        torch.testing.assert_close(logits(), before[:, [2, 4, 0, 1, 3]], atol=1e-6, rtol=0)


class TestTokenizer:
    """Models with and without a tokenizer."""

    @pytest.mark.parametrize("architecture", ["eurobert", "bert"])
    def test_a_folder_without_one_is_enough_where_the_trainer_gets_one(
        self, architecture, tmp_path, said, make_trainer, tokenizer
    ):
        AutoModel.from_config(tiny_config(architecture)).save_pretrained(tmp_path)
        model = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=4, pooling="mean", weighting="none")
        assert model.config.special_token_ids is None
        assert len(said()) == 2
        assert said()[1].startswith(f"There is no tokenizer in {tmp_path}")
        make_trainer(model=model, objective="scl", tokenizer=tokenizer)
        assert model.config.special_token_ids == [0, 2, 3]

    def test_one_with_more_tokens_than_the_model(self, bert, tokenizer):
        check_tokenizer(bert.config, tokenizer)
        bert.config.vocab_size = len(tokenizer) - 1
        message = (
            rf"The tokenizer has {len(tokenizer)} tokens, but the model has {len(tokenizer) - 1} .*resize_token_emb"
        )
        with pytest.raises(ValueError, match=message):
            check_tokenizer(bert.config, tokenizer)

    @pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "t5", "xlm-roberta", "albert"])
    def test_one_that_transformers_made_of_nothing(self, architecture, tmp_path):
        config = tiny_config(architecture)
        config.save_pretrained(tmp_path)
        empty = AutoTokenizer.from_pretrained(tmp_path)
        with pytest.raises(ValueError, match=rf"has {len(empty)} tokens, the special ones: .*{tmp_path}"):
            check_tokenizer(config, empty)


class TestSentenceTransformers:
    """Folders saved by sentence-transformers."""

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
    """Folders that are not starting points, and the error messages."""

    def test_a_checkpoint_of_a_run(self, bert, tmp_path):
        LCLForSequenceClassification.from_native(bert).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="is a checkpoint of a training run"):
            LCLForSequenceClassification.from_encoder(tmp_path, num_labels=3)

    def test_the_weights_of_another_architecture(self, encoder_folder):
        DistilBertConfig(dim=32, hidden_dim=64, n_layers=1, n_heads=2).save_pretrained(encoder_folder)
        with pytest.raises(ValueError, match=r"\d+ of the \d+ weights of a DistilBertFor\w+ are missing"):
            LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=3)

    def test_a_configuration_of_another_size(self, encoder_folder, bert_config):
        bert_config.intermediate_size = 48
        bert_config.save_pretrained(encoder_folder)
        with pytest.raises(ValueError, match=r"do not belong together, \S+ has the shape \(64,\), not \(48,\)"):
            LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=3)


def test_where_on_the_hub_it_is_reaches_every_request(tmp_path, encoder_folder):
    """Model, configuration and tokenizer come from the same revision, with the same token, into the same cache."""
    # A cache as after a download of that revision, so that no request is needed.
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


@pytest.mark.parametrize(("options", "expected"), [({}, torch.float32), ({"dtype": "auto"}, torch.float16)], ids=str)
def test_weights_are_trained_in_float32_whatever_they_are_stored_in(bert, encoder_folder, options, expected):
    bert.bert.half().save_pretrained(encoder_folder)
    model = LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4, **options)
    assert {parameter.dtype for parameter in model.native.parameters()} == {expected}


def test_of_several_processes_one_says_what_starts_anew(encoder_folder, said, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4)
    assert said() == []
