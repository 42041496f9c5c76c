"""What a PreTrainedModel has to support: precisions, compilation, devices, shards, copies, threads."""

import copy
import pickle
import threading

import pytest
import torch
from tiny_architectures import tiny_config, tiny_inputs
from transformers import AutoModelForSequenceClassification, BertForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.losses import Objective


TEXTS = ["furious neighbour", "cake at the party today", "won a medal"]
LABELS = torch.tensor([0, 1, 0])


@pytest.fixture
def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


@pytest.fixture
def model(bert):
    return LCLForSequenceClassification.from_native(bert).eval()


def backward(model: torch.nn.Module, batch: dict) -> list[torch.Tensor]:
    """Gradients of the whole objective, with seeded dropout."""
    model.zero_grad()
    torch.manual_seed(0)
    output = model(**batch)
    loss, _ = Objective("lcl")(output.logits, output.embeddings, output.weighting_logits, LABELS)
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def same(gradients: list[torch.Tensor], others: list[torch.Tensor], **tolerance: float) -> bool:
    return all(
        torch.allclose(mine.float(), its.float(), **tolerance) for mine, its in zip(gradients, others, strict=True)
    )


class TestPrecision:
    """Half precision, of the weights or by autocast."""

    @pytest.mark.parametrize(
        ("dtype", "weighting"),
        [(torch.bfloat16, "head"), (torch.bfloat16, "classifier"), (torch.float16, "encoder")],
    )
    def test_half_weights(self, bert, batch, dtype, weighting):
        full = LCLForSequenceClassification.from_native(bert, weighting=weighting).eval()
        expected = backward(full, batch)
        half = LCLForSequenceClassification.from_native(copy.deepcopy(bert).to(dtype), weighting=weighting).eval()
        assert {parameter.dtype for parameter in half.parameters()} == {dtype}
        half.load_state_dict(full.state_dict())
        output = half(**batch)
        assert {output.logits.dtype, output.embeddings.dtype, output.weighting_logits.dtype} == {dtype}
        assert same(expected, backward(half, batch), atol=0.05)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast(self, model, batch, dtype):
        expected = backward(model, batch)
        with torch.autocast("cpu", dtype=dtype):
            gradients = backward(model, batch)
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        assert same(expected, gradients, atol=0.05)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_weights_come_back_as_they_were_saved(self, bert, batch, tmp_path, dtype):
        model = LCLForSequenceClassification.from_native(bert.to(dtype)).eval()
        model.save_pretrained(tmp_path / "wrapper")
        model.to_sequence_classifier().save_pretrained(tmp_path / "export")
        again = LCLForSequenceClassification.from_pretrained(tmp_path / "wrapper")
        native = AutoModelForSequenceClassification.from_pretrained(tmp_path / "export")
        assert again.dtype == native.dtype == dtype
        assert torch.equal(again(**batch).logits, model(**batch).logits)
        assert torch.equal(native(**batch).logits, model(**batch).logits)


class TestCompilation:
    """torch.compile, the whole model as one graph."""

    @pytest.fixture(autouse=True)
    def fresh(self):
        torch._dynamo.reset()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "weighting", "pooling"),
        [
            ("bert", "encoder", "cls"),
            ("distilbert", "head", "mean"),
            ("electra", "none", "cls"),
            ("llama", "head", "last"),
            ("modernbert", "head", "cls"),
            ("roberta", "classifier", "mean"),
        ],
    )
    def test_no_graph_breaks(self, name, weighting, pooling):
        config = tiny_config(name)
        config.num_hidden_layers = 1  # tracing each layer is slow
        native = AutoModelForSequenceClassification.from_config(config).eval()
        model = LCLForSequenceClassification.from_native(native, weighting=weighting, pooling=pooling).eval()
        inputs = tiny_inputs(name, config)
        compiled = torch.compile(model, fullgraph=True, backend="eager")(**inputs)
        for field, value in model(**inputs).items():
            torch.testing.assert_close(compiled[field], value, atol=1e-6, rtol=0)

    @pytest.mark.slow
    def test_compiled_code_gives_the_same_gradients(self, bert_config, batch):
        bert_config.num_hidden_layers = 1
        bert = BertForSequenceClassification(bert_config)
        model = LCLForSequenceClassification.from_native(bert, pooling="mean").eval()
        expected = backward(model, batch)
        compiled = torch.compile(model, fullgraph=True)
        assert same(expected, backward(compiled, batch), atol=1e-5)
        # The forward pass leaves no state on the model.
        assert model.native.base_model.captured_states == {}


class TestAttention:
    """Attention implementations are set on the wrapped classifier, and agree."""

    @pytest.mark.parametrize(
        "implementation", ["eager", "sdpa", pytest.param("flex_attention", marks=pytest.mark.slow)]
    )
    def test_every_implementation(self, bert, batch, tmp_path, implementation):
        bert.eval()
        bert.save_pretrained(tmp_path)
        model = LCLForSequenceClassification.from_encoder(tmp_path, attn_implementation=implementation)
        assert model.native.config._attn_implementation == implementation
        # The flex attention kernel has no backward pass on CPUs, and is compiled at first use.
        with torch.no_grad():
            assert torch.allclose(model(**batch).logits, bert(**batch).logits, atol=1e-5)

    def test_it_can_be_changed_and_chosen_on_the_wrapper(self, model, batch, tmp_path):
        model.save_pretrained(tmp_path)
        again = LCLForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager")
        assert again.native.config._attn_implementation == "eager"
        again.set_attn_implementation("sdpa")
        assert again.native.config._attn_implementation == "sdpa"
        assert torch.equal(again(**batch).logits, model(**batch).logits)

    def test_wrapping_keeps_the_implementation(self, bert):
        before = bert.config._attn_implementation
        LCLForSequenceClassification.from_native(bert)
        assert bert.config._attn_implementation == before == "sdpa"


class TestLoading:
    """The device of the weights, and the number of files."""

    @pytest.mark.parametrize("device_map", ["auto", "cpu", {"": "cpu"}])
    def test_device_map(self, model, batch, tmp_path, device_map):
        model.save_pretrained(tmp_path / "wrapper")
        model.to_sequence_classifier().save_pretrained(tmp_path / "export")
        again = LCLForSequenceClassification.from_pretrained(tmp_path / "wrapper", device_map=device_map)
        assert torch.equal(again(**batch).embeddings, model(**batch).embeddings)
        wrapped = LCLForSequenceClassification.from_encoder(tmp_path / "export", device_map=device_map)
        assert torch.equal(wrapped(**batch).logits, model(**batch).logits)

    def test_a_part_of_the_encoder_on_disk(self, model, batch, tmp_path):
        model.to_sequence_classifier().save_pretrained(tmp_path / "export")
        places = {"bert.embeddings": "cpu", "bert.encoder": "disk", "bert.pooler": "cpu", "classifier": "cpu"}
        wrapped = LCLForSequenceClassification.from_encoder(
            tmp_path / "export", device_map=places, offload_folder=str(tmp_path / "offload")
        )
        with torch.no_grad():
            assert torch.equal(wrapped(**batch).logits, model(**batch).logits)
            assert torch.equal(wrapped(**batch).embeddings, model(**batch).embeddings)

    @pytest.mark.parametrize("weighting", ["head", "encoder"])
    def test_without_memory_for_weights(self, bert, weighting):
        model = LCLForSequenceClassification.from_native(bert, weighting=weighting)
        with torch.device("meta"):
            empty = LCLForSequenceClassification(copy.deepcopy(model.config))
        assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}
        assert empty.num_parameters() == model.num_parameters()

    def test_shards(self, model, batch, tmp_path):
        model.save_pretrained(tmp_path / "wrapper", max_shard_size="20KB")
        model.to_sequence_classifier().save_pretrained(tmp_path / "export", max_shard_size="20KB")
        for folder in ("wrapper", "export"):
            assert len(list((tmp_path / folder).glob("model-*.safetensors"))) > 2
            assert (tmp_path / folder / "model.safetensors.index.json").exists()
        again = LCLForSequenceClassification.from_pretrained(tmp_path / "wrapper")
        native = AutoModelForSequenceClassification.from_pretrained(tmp_path / "export")
        assert torch.equal(again(**batch).weighting_logits, model(**batch).weighting_logits)
        assert torch.equal(native(**batch).logits, model(**batch).logits)

    @pytest.mark.parametrize(("name", "weighting"), [("t5", "encoder"), ("bart", "head"), ("zamba", "encoder")])
    def test_tied_weights_stay_tied(self, name, weighting, tmp_path):
        config = tiny_config(name)
        native = AutoModelForSequenceClassification.from_config(config)
        model = LCLForSequenceClassification.from_native(native.eval(), weighting=weighting)
        inputs = tiny_inputs(name, config)
        model.save_pretrained(tmp_path)
        again, report = LCLForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
        assert not [key for kind in report.values() for key in kind]
        for one in (model, again, copy.deepcopy(model)):
            names = list(one.state_dict())
            storages = {tensor.data_ptr() for tensor in one.state_dict().values()}
            assert len(storages) < len(names)
            assert one.num_parameters() == model.num_parameters()
            assert torch.equal(one(**inputs).logits, model(**inputs).logits)

    def test_resizing_the_vocabulary_reaches_the_export(self, model, tmp_path):
        model.resize_token_embeddings(120)
        model.to_sequence_classifier().save_pretrained(tmp_path)
        assert BertForSequenceClassification.from_pretrained(tmp_path).config.vocab_size == 120

    def test_resizing_reaches_a_second_encoder(self, bert, batch, tmp_path):
        model = LCLForSequenceClassification.from_native(bert, weighting="encoder").eval()
        model.resize_token_embeddings(200)
        model.save_pretrained(tmp_path)
        again = LCLForSequenceClassification.from_pretrained(tmp_path)
        assert again.config.text_config.vocab_size == 200
        batch["input_ids"][0, 1] = 199
        assert torch.equal(again(**batch).weighting_logits, model(**batch).weighting_logits)


@pytest.mark.parametrize(("weighting", "reentrant"), [("head", True), ("encoder", False)])
def test_gradient_checkpointing_gives_the_same_gradients(bert, batch, weighting, reentrant):
    model = LCLForSequenceClassification.from_native(bert, weighting=weighting).train()
    expected = backward(model, batch)
    # The method that all supported versions of transformers have.
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    assert same(expected, backward(model, batch), atol=1e-6)


class TestCopies:
    """Several models, several threads."""

    def test_copies_and_pickles_are_equal(self, model, batch):
        expected = model(**batch).embeddings
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(again(**batch).embeddings, expected)

    def test_a_pass_that_fails_leaves_nothing_behind(self, model, batch):
        with pytest.raises(IndexError):
            model(input_ids=torch.full((1, 3), 10_000))
        assert model.native.base_model.captured_states == {}
        assert model(**batch).embeddings.shape == (3, 32)

    def test_two_wrappers_of_one_classifier_agree(self, bert, batch):
        bert.eval()
        first, second = (LCLForSequenceClassification.from_native(bert, pooling=name) for name in ("cls", "mean"))
        assert torch.equal(first(**batch).logits, second(**batch).logits)
        assert torch.equal(first(**batch).embeddings, bert.bert(**batch).last_hidden_state[:, 0])
        assert len(bert.bert._forward_hooks) == 1

    def test_two_wrappers_in_one_process_do_not_mix(self, model, bert_config, batch):
        other = LCLForSequenceClassification.from_native(BertForSequenceClassification(bert_config).eval())
        expected, its = model(**batch).embeddings, other(**batch).embeddings
        assert not torch.equal(expected, its)
        assert torch.equal(model(**batch).embeddings, expected)
        assert torch.equal(other(**batch).embeddings, its)

    def test_two_threads_on_one_model_do_not_mix_their_embeddings(self, model, tokenizer):
        batches = [tokenizer([text], return_tensors="pt") for text in TEXTS]
        with torch.no_grad():
            expected = [model(**batch).embeddings for batch in batches]
            wrong = []

            def work(index: int) -> None:
                with torch.no_grad():
                    for _ in range(20):
                        if not torch.equal(model(**batches[index]).embeddings, expected[index]):
                            wrong.append(index)

            threads = [threading.Thread(target=work, args=(index,)) for index in range(len(batches))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not wrong
