"""A step over one batch, without a trainer."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from hf_lcl import ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.losses.objective import Objective
from hf_lcl.training.step import Step


@pytest.fixture
def model(bert):
    """A model without dropout, in training mode."""
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return LCLForSequenceClassification.from_native(bert, weighting="none").train()


@pytest.fixture
def batch(several, splits, several_splits, tokenizer):
    """Inputs and labels of twelve texts, with one or several labels: every test runs for both."""
    rows = (several_splits if several else splits)["train"].select(range(12))
    inputs = tokenizer.pad([{"input_ids": row["input_ids"]} for row in rows], return_tensors="pt")
    return dict(inputs), torch.tensor(rows["labels"][:])


def rows_of(labels):
    """The indicator rows of labels, for four classes."""
    return labels > 0 if labels.dim() == 2 else labels.unsqueeze(1) == torch.arange(4)


@pytest.fixture
def make_step(tmp_path):
    def make(**settings):
        settings = {"objective": "scl", "per_device_train_batch_size": 12, "use_cpu": True} | settings
        return Step(ContrastiveTrainingArguments(str(tmp_path), **settings))

    return make


def test_the_loss_is_that_of_the_formula(model, batch, make_step):
    inputs, labels = batch
    step = make_step()
    _, loss, _ = step.loss(model, inputs, labels, config=model.config, objective=Objective("scl", alpha=0.25))
    with torch.no_grad():
        outputs = model(**inputs)
    unit = normalize(outputs.embeddings.double())
    similarities = (unit @ unit.T / 0.3).masked_fill(torch.eye(12, dtype=torch.bool), -math.inf)
    log_p = similarities.log_softmax(dim=1)
    has, anchors = rows_of(labels), []
    for i in range(12):
        positives = [has[:, label] & (torch.arange(12) != i) for label in has[i].nonzero().flatten()]
        means = [-log_p[i][each].mean() for each in positives if each.any()]
        anchors += [torch.stack(means).mean()] if means else []
    classification = binary_cross_entropy_with_logits if labels.dim() == 2 else cross_entropy
    expected = 0.25 * classification(outputs.logits, labels) + 0.75 * torch.stack(anchors).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert step.parts.averages()["valid_anchors"] == len(anchors) / 12


def test_mini_batches_give_the_gradient_of_the_whole(model, batch, make_step):
    def gradients(**settings):
        model.zero_grad()
        step = make_step(**settings)
        _, loss, _ = step.loss(model, *batch, config=model.config, objective=Objective("scl"))
        loss.backward()
        step.finish(model)
        return {name: tensor.grad.clone() for name, tensor in model.named_parameters() if tensor.grad is not None}

    whole, parts = gradients(), gradients(mini_batch_size=5)
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_not_finite_is_named_after_the_backward_pass(model, batch, make_step):
    step = make_step(objective="ce")
    model.native.classifier.register_forward_hook(lambda module, inputs, output: output * math.inf)
    step.loss(model, *batch, config=model.config, objective=Objective("ce"))
    with pytest.raises(FloatingPointError, match=r"^Stopped at step 7, .* The loss is nan \(loss_ce=nan\)"):
        step.finish(model, step=6)


@pytest.mark.parametrize("several", [False], ids=["one"])  # with indicator rows it would be NaN
def test_an_infinite_loss_stops_too(model, batch, make_step):
    def rule_out_a_class(module, inputs, output):
        return output.index_fill(1, torch.tensor([0]), -math.inf)

    step = make_step(objective="ce")
    model.native.classifier.register_forward_hook(rule_out_a_class)
    step.loss(model, *batch, config=model.config, objective=Objective("ce"))
    with pytest.raises(FloatingPointError, match=r"The loss is inf \(loss_ce=inf\)"):
        step.finish(model)


def test_another_process_whose_loss_is_not_finite_stops_this_one_too(model, batch, make_step):
    step = make_step()
    settings = {"config": model.config, "objective": Objective("scl")}
    _, loss, _ = step.loss(model, *batch, average=lambda numbers: numbers * math.nan, **settings)
    assert loss.isfinite()
    with pytest.raises(FloatingPointError, match="The loss is nan"):
        step.finish(model)


@pytest.mark.parametrize(
    ("sampler", "remedy"),
    [("random", "Use sampler='balanced', or"), ("balanced", "Classes with a single text have none")],
)
def test_a_batch_without_positives_is_named_once(model, batch, make_step, caplog, sampler, remedy):
    inputs, labels = batch
    has, lone = rows_of(labels), []
    for row in range(12):
        if has[row].any() and not (has[lone] & has[row]).any():
            lone.append(row)
    assert len(lone) > 1
    texts = {name: tensor[lone] for name, tensor in inputs.items()}
    step = make_step(sampler=sampler, per_device_train_batch_size=len(lone))
    for _ in range(2):
        step.loss(model, texts, labels[lone], config=model.config, objective=Objective("scl"))
        step.finish(model, batch_size=len(lone))
    told = [record.getMessage() for record in caplog.records if "has a positive" in record.getMessage()]
    assert len(told) == 1
    assert all(f"LABEL_{label}: 1" in told[0] for label in has[lone].any(dim=0).nonzero().flatten())
    assert remedy in told[0]
