"""Recurrent models: the positions that they read, the wrapper around them, and saved files."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent import RecurrentConfig, RecurrentForSequenceClassification, RecurrentModel
from transformers import AutoModel, AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification


KINDS = ("rnn", "gru", "lstm")
# Two layers, so that dropout between layers is tested too.
SHAPES = [(kind, bidirectional) for kind in KINDS for bidirectional in (False, True)]
TEXTS = [[5], [6, 7, 8, 9, 10], [], [11, 12, 6], [7, 7, 5, 6, 8, 9, 12]]
CLOSE = {"rtol": 0, "atol": 1e-6}


def batch_of(texts: list[list[int]], side: str = "right", extra: int = 0) -> dict[str, torch.Tensor]:
    """Ids and mask, padded to the longest text and `extra` more."""
    length = max(map(len, texts)) + extra
    ids = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        start = 0 if side == "right" else length - len(text)
        ids[row, start : start + len(text)] = torch.tensor(text, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape[0]}-{'both' if shape[1] else 'one'}")
def model(request, make_classifier) -> RecurrentForSequenceClassification:
    kind, bidirectional = request.param
    return make_classifier(kind, bidirectional=bidirectional, num_layers=2).eval()


class TestReading:
    """Padding, order and masks change nothing."""

    def test_the_last_position_holds_the_final_states_of_torch(self, model):
        encoder = model.model
        states = encoder(**batch_of(TEXTS, extra=2)).last_hidden_state
        for row, text in enumerate(TEXTS):
            if not text:
                assert not states[row].any()
                continue
            words = encoder.embed_tokens(torch.tensor([text]))
            final = encoder.rnn(words)[1]
            final = final[0] if model.config.kind == "lstm" else final
            directions = 2 if model.config.bidirectional else 1
            assert torch.allclose(states[row, -1], final[-directions:, 0].flatten(), **CLOSE)

    @pytest.mark.parametrize("side", ["right", "left"])
    @pytest.mark.parametrize("extra", [0, 1, 7])
    def test_a_padded_batch_gives_what_each_text_gives_alone(self, model, side, extra):
        logits = model(**batch_of(TEXTS, side, extra)).logits
        for row, text in enumerate(TEXTS):
            assert torch.allclose(logits[row], model(**batch_of([text or [0]])).logits[0], **CLOSE)

    def test_the_order_of_a_batch_does_not_matter(self, model):
        assert torch.allclose(model(**batch_of(TEXTS[::-1])).logits.flip(0), model(**batch_of(TEXTS)).logits, **CLOSE)

    def test_a_masked_word_is_as_if_it_were_not_there(self, model):
        batch = batch_of([[5, 6, 7, 8], [9, 10, 11, 12]])
        batch["attention_mask"][0, 1] = batch["attention_mask"][1, 3] = 0
        expected = model(**batch_of([[5, 7, 8], [9, 10, 11]])).logits
        assert torch.allclose(model(**batch).logits, expected, **CLOSE)

    def test_ids_alone_embeddings_alone_and_ids_with_a_mask_agree(self, model):
        batch = batch_of(TEXTS)
        expected = model(**batch).logits
        embeddings = model.get_input_embeddings()(batch["input_ids"])
        assert torch.equal(model(input_ids=batch["input_ids"]).logits, expected)
        logits = model(inputs_embeds=embeddings, attention_mask=batch["attention_mask"]).logits
        assert torch.equal(logits, expected)
        with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
            model(input_ids=batch["input_ids"], inputs_embeds=embeddings)

    def test_a_batch_of_texts_without_words_has_a_gradient_and_no_word_in_it(self, model, word_tokenizer):
        batch = word_tokenizer(["", " "], return_tensors="pt")
        assert batch["input_ids"].shape == (2, 0)
        logits = model(**batch).logits
        assert torch.equal(logits, model.score.bias.expand(2, -1))
        model(**batch, labels=torch.tensor([0, 1])).loss.backward()
        assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)
        assert not model.get_input_embeddings().weight.grad.any()
        wrapper = LCLForSequenceClassification.from_native(model)
        assert torch.equal(wrapper(**batch).logits, logits)
        assert not wrapper(**batch).embeddings.any()

    @settings(max_examples=30, deadline=None)
    @given(
        texts=st.lists(st.lists(st.integers(4, 19), max_size=9), min_size=1, max_size=6),
        extra=st.integers(1, 4),
        bidirectional=st.booleans(),
    )
    def test_padding_property(self, texts, extra, bidirectional):
        torch.manual_seed(0)
        config = RecurrentConfig(vocab_size=20, embedding_size=6, hidden_size=8, bidirectional=bidirectional)
        model = RecurrentModel(config).eval()
        right, left = (model(**batch_of(texts, side, extra)).last_hidden_state for side in ("right", "left"))
        assert torch.equal(right[:, -1], left[:, -1])
        assert torch.allclose(right[:, -1], model(**batch_of(texts, "right", extra + 1))[0][:, -1], **CLOSE)


class TestWrapper:
    """`LCLForSequenceClassification` around a recurrent classifier."""

    @pytest.mark.parametrize("side", ["right", "left"])
    def test_the_embedding_is_what_the_classifier_reads(self, model, side):
        read = []
        model.score.register_forward_pre_hook(lambda _, args: read.append(args[0]))
        wrapper = LCLForSequenceClassification.from_native(model)
        batch = batch_of(TEXTS, side, extra=2)
        output = wrapper(**batch)
        assert wrapper.config.pooling == "last"
        assert torch.equal(output.embeddings, read[0])
        assert torch.equal(output.logits, wrapper.to_sequence_classifier()(**batch).logits)
        assert output.weighting_logits.shape == (5, 4)

    def test_the_embedding_is_what_the_classifier_reads_also_where_mask_and_ids_disagree(self, model):
        read = []
        model.score.register_forward_pre_hook(lambda _, args: read.append(args[0]))
        wrapper = LCLForSequenceClassification.from_native(model)
        batch = batch_of([[5, 6, 7, 8], [9, 10]])
        batch["attention_mask"] = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
        assert torch.equal(wrapper(**batch).embeddings, read[0])

    def test_mean_pooling_leaves_padding_out(self, model):
        wrapper = LCLForSequenceClassification.from_native(model, pooling="mean")
        short, long = (wrapper(**batch_of(TEXTS, extra=extra)).embeddings for extra in (0, 6))
        assert torch.allclose(short, long, **CLOSE)

    @pytest.mark.parametrize("weighting", ["head", "encoder", "classifier", "none"])
    def test_a_saved_wrapper_is_equal_to_the_last_bit(self, make_classifier, tmp_path, weighting):
        native = make_classifier("lstm", bidirectional=True)
        wrapper = LCLForSequenceClassification.from_native(native, weighting=weighting).eval()
        wrapper.save_pretrained(tmp_path)
        again, report = LCLForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
        assert not [key for kind in report.values() for key in kind]
        for name, value in wrapper(**batch_of(TEXTS)).items():
            assert torch.equal(again(**batch_of(TEXTS))[name], value), name

    def test_gradient_checkpointing_is_refused(self, make_classifier):
        wrapper = LCLForSequenceClassification.from_native(make_classifier())
        with pytest.raises(ValueError, match=r"does not support (gradient|activation) checkpointing"):
            wrapper.gradient_checkpointing_enable()  # the method that all supported versions have

    def test_copies_are_equal(self, model):
        wrapper = LCLForSequenceClassification.from_native(model)
        expected = wrapper(**batch_of(TEXTS)).embeddings
        assert torch.equal(copy.deepcopy(wrapper)(**batch_of(TEXTS)).embeddings, expected)


class TestPrecision:
    """bfloat16, of the weights or by autocast."""

    @pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "weights"])
    def test_bf16(self, model, autocast):
        expected = model(**batch_of(TEXTS)).logits
        model = model if autocast else model.to(torch.bfloat16)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            output = model(**batch_of(TEXTS), labels=torch.tensor([0, 1, 2, 3, 0]))
        assert torch.allclose(output.logits.float(), expected, rtol=0, atol=0.05)
        output.loss.backward()
        assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


class TestWeights:
    """New weights, and saved and loaded ones."""

    def test_folders_load_as_encoder_and_as_classifier_to_the_last_bit(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors", "recurrent.py"}
        again, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
        assert not [key for kind in report.values() for key in kind]
        assert type(again) is RecurrentForSequenceClassification
        assert torch.equal(again(**batch_of(TEXTS)).logits, model(**batch_of(TEXTS)).logits)
        encoder = AutoModel.from_pretrained(tmp_path)
        assert torch.equal(encoder(**batch_of(TEXTS))[0], model.model(**batch_of(TEXTS))[0])

    def test_a_new_head_leaves_the_encoder_as_it_was_saved(self, model, tmp_path):
        model.model.save_pretrained(tmp_path)
        wrapper = LCLForSequenceClassification.from_encoder(tmp_path, num_labels=3).eval()
        assert wrapper(**batch_of(TEXTS)).logits.shape == (5, 3)
        assert torch.equal(wrapper(**batch_of(TEXTS)).embeddings, model.model(**batch_of(TEXTS))[0][:, -1])
        assert not wrapper.native.score.bias.any()

    @pytest.mark.parametrize(("kind", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
    def test_new_recurrent_weights_rotate(self, make_classifier, kind, gates):
        weight = make_classifier(kind).model.rnn.weight_hh_l0
        assert weight.shape == (gates * 32, 32)
        for gate in weight.chunk(gates):
            assert torch.allclose(gate @ gate.T, torch.eye(32), atol=1e-5)

    def test_the_vocabulary_can_grow(self, make_classifier):
        model = make_classifier().eval()
        before = model(**batch_of(TEXTS)).logits
        size = model.config.vocab_size
        model.resize_token_embeddings(size + 3)
        assert torch.equal(model(**batch_of(TEXTS)).logits, before)
        assert model(input_ids=torch.tensor([[size + 2]])).logits.isfinite().all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "transformer"}, "kind='transformer' is unknown: use one of 'rnn', 'gru', 'lstm'"),
        ({"hidden_size": 0}, "hidden_size=0 is too small"),
        ({"hidden_size": 33, "bidirectional": True}, "hidden_size=33 cannot be shared by two directions"),
        ({"dropout": 1.0}, r"dropout=1.0 is no share"),
    ],
)
def test_a_bad_configuration_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        RecurrentConfig(**given)
