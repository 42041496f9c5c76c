"""Gradient caching gives the gradients of the plain step on the same mini-batches, dropout included."""

import copy

import pytest
import torch
from transformers import BertForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.losses import Objective
from hf_lcl.training.scaling import GradientCache


LABELS = {
    False: torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 0]),
    True: torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0] * 4, [1, 0, 0, 1]]).repeat(2, 1),
}


@pytest.fixture
def batch(tokenizer):
    texts = ["furious neighbour", "cake " * 9, "won a medal", "late again at work today", "rage"] * 2
    return dict(tokenizer(texts, padding=True, return_tensors="pt"))


def plain_gradients(model, batch, objective, size: int, labels: torch.Tensor) -> list[torch.Tensor | None]:
    """One graph over the whole batch, computed in the same mini-batches by length, so that dropout draws the same."""
    model.zero_grad()
    lengths = batch["attention_mask"].sum(dim=1)
    order = lengths.argsort(descending=True, stable=True)
    outputs = [
        model(**{name: tensor[rows, : lengths[rows].max()] for name, tensor in batch.items()})
        for rows in order.split(size)
    ]
    joined = [
        None if getattr(outputs[0], name) is None else torch.cat([output[name] for output in outputs])[order.argsort()]
        for name in ("logits", "embeddings", "weighting_logits")
    ]
    loss, _ = objective(*joined, labels)
    loss.backward()
    return [parameter.grad for parameter in model.parameters()]


def cached_gradients(
    model, batch, objective, size: int, labels: torch.Tensor = LABELS[False]
) -> list[torch.Tensor | None]:
    model.zero_grad()
    cache = GradientCache(size)
    outputs = cache.forward(model, batch)
    loss, _ = objective(outputs.logits, outputs.embeddings, outputs.weighting_logits, labels)
    loss.backward()
    cache.backward(model)
    return [parameter.grad for parameter in model.parameters()]


def assert_same(gradients, others, rtol: float) -> None:
    for mine, its in zip(gradients, others, strict=True):
        assert (mine is None) == (its is None)
        if mine is not None:
            torch.testing.assert_close(mine, its, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("size", [1, 3, 4, 10])
@pytest.mark.parametrize(
    ("name", "weighting", "several"),
    [
        ("ce", "none", False),
        ("ce", "none", True),
        ("scl", "none", False),
        ("lcl", "head", False),
        ("lcl", "head", True),
        ("lcl", "encoder", False),
        ("lcl", "classifier", False),
        ("lcl", "classifier", True),
    ],
)
def test_the_gradients_are_exact_with_dropout_on(bert, batch, name, weighting, several, size):
    model = LCLForSequenceClassification.from_native(bert.double(), weighting=weighting).train()
    objective = Objective(name, weighting_is_trained=weighting != "classifier")
    torch.manual_seed(5)
    expected = plain_gradients(model, batch, objective, size, LABELS[several])
    expected = [None if gradient is None else gradient.clone() for gradient in expected]
    torch.manual_seed(5)
    assert_same(cached_gradients(model, batch, objective, size, LABELS[several]), expected, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 3, 10])
@pytest.mark.parametrize("side", ["right", "left"])
def test_without_dropout_they_are_those_of_one_pass_over_the_batch(bert, tokenizer, batch, several, size, side):
    if side == "left":
        batch = {name: tensor.flip(1) for name, tensor in batch.items()}
    model = LCLForSequenceClassification.from_native(bert.double(), pooling="mean").eval()
    objective = Objective("lcl")
    model.zero_grad()
    output = model(**batch)
    objective(output.logits, output.embeddings, output.weighting_logits, LABELS[several])[0].backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    assert_same(cached_gradients(model, batch, objective, size, LABELS[several]), expected, rtol=1e-9)


def test_mini_batches_are_padded_to_their_own_longest_text(bert, batch):
    model = LCLForSequenceClassification.from_native(bert)
    widths = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    GradientCache(2).forward(model, batch)
    assert widths == sorted(batch["attention_mask"].sum(dim=1).tolist(), reverse=True)[::2]
    widths.clear()
    GradientCache(2, trim=False).forward(model, batch)
    assert widths == [batch["input_ids"].shape[1]] * 5


def test_inputs_without_a_mask(bert, batch):
    del batch["attention_mask"]
    model = LCLForSequenceClassification.from_native(bert.double()).eval()
    output = model(**batch)
    model.zero_grad()
    Objective("lcl")(output.logits, output.embeddings, output.weighting_logits, LABELS[False])[0].backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    assert_same(cached_gradients(model, batch, Objective("lcl"), 3), expected, rtol=1e-9)


def test_the_random_state_afterwards_is_that_of_the_forward_pass(bert, batch):
    model = LCLForSequenceClassification.from_native(bert).train()
    cache = GradientCache(4)
    outputs = cache.forward(model, batch)
    expected = torch.get_rng_state()
    outputs.logits.sum().backward()
    cache.backward(model)
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_loss_that_does_not_reach_the_embeddings(bert, batch):
    model = LCLForSequenceClassification.from_native(bert).train()
    cache = GradientCache(4)
    cache.forward(model, batch).logits.sum().backward()
    cache.backward(model)
    assert all(parameter.grad is None for parameter in model.weighting_network.parameters())
    assert model.native.classifier.weight.grad.abs().sum() > 0


def test_gradients_are_checkpointed_too(bert, batch):
    model = LCLForSequenceClassification.from_native(bert.double()).train()
    torch.manual_seed(3)
    expected = [gradient.clone() for gradient in cached_gradients(model, batch, Objective("lcl"), 4)]
    model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(3)
    assert_same(cached_gradients(model, batch, Objective("lcl"), 4), expected, rtol=1e-12)


class TestTrainer:
    """`mini_batch_size` through the Trainer."""

    @staticmethod
    def weights(trainer) -> list[torch.Tensor]:
        trainer.train()
        return [parameter.detach().clone() for parameter in trainer.model.parameters()]

    @pytest.fixture
    def still(self, bert_config):
        """Makes equal models without dropout, in float64."""
        bert_config.hidden_dropout_prob = bert_config.attention_probs_dropout_prob = 0.0

        def make(weighting: str) -> LCLForSequenceClassification:
            torch.manual_seed(0)
            bert = BertForSequenceClassification(bert_config)
            return LCLForSequenceClassification.from_native(bert, weighting=weighting).double()

        return make

    @pytest.mark.parametrize(
        "settings",
        [
            pytest.param({"objective": "ce"}, marks=pytest.mark.slow),
            pytest.param({"objective": "scl"}, marks=pytest.mark.slow),
            {"objective": "lcl"},
            pytest.param({"gradient_accumulation_steps": 2}, marks=pytest.mark.slow),
            {"gradient_accumulation_steps": 2, "several": True},
            pytest.param({"gradient_checkpointing": True}, marks=pytest.mark.slow),
            pytest.param({"class_weights": "balanced", "label_smoothing_factor": 0.1}, marks=pytest.mark.slow),
            pytest.param({"class_weights": "balanced", "several": True, "num_views": 2}, marks=pytest.mark.slow),
        ],
        ids=str,
    )
    def test_a_run_ends_in_the_weights_of_the_plain_one(self, make_trainer, still, settings):
        settings = {"objective": "lcl", "num_train_epochs": 2, "learning_rate": 1e-3} | settings
        weighting = "head" if settings["objective"] == "lcl" else "none"
        plain = self.weights(make_trainer(model=still(weighting), **settings))
        trainer = make_trainer(model=still(weighting), mini_batch_size=5, **settings)
        for mine, its in zip(self.weights(trainer), plain, strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-7, atol=1e-7)
        losses = [line["loss_ce"] for line in trainer.state.log_history if "loss_ce" in line]
        assert losses[-1] < losses[0]

    def test_autocast_reaches_both_passes(self, make_trainer, bert):
        dtypes = set()
        trainer = make_trainer(model=bert, mini_batch_size=5, bf16=True, max_steps=1)
        layer = trainer.model.native.bert.encoder.layer[0].output.dense
        layer.register_forward_hook(lambda module, args, output: dtypes.add((output.dtype, torch.is_grad_enabled())))
        trainer.train()
        assert dtypes == {(torch.bfloat16, False), (torch.bfloat16, True)}

    def test_a_resumed_run_ends_in_the_same_weights(self, make_trainer, bert):
        settings = {"mini_batch_size": 4, "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 3}
        whole = make_trainer(model=copy.deepcopy(bert), folder="whole", **settings)
        expected = self.weights(whole)
        resumed = make_trainer(model=copy.deepcopy(bert), folder="resumed", **settings)
        resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
        assert all(torch.equal(mine, its) for mine, its in zip(resumed.model.parameters(), expected, strict=True))

    @pytest.mark.parametrize(("size", "allowed"), [(0, "least 1"), (-1, "least 1"), (17, "most .*=16")])
    def test_a_mini_batch_is_a_part_of_the_batch(self, make_trainer, size, allowed):
        with pytest.raises(ValueError, match=f"mini_batch_size={size} must be at {allowed}"):
            make_trainer(mini_batch_size=size)
