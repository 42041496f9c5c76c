"""The loss modules, which call the loss functions with stored options."""

import inspect

import pytest
import torch
from formula import batch, both, formula, others, scl
from torch import nn

from hf_lcl import LCLLoss, SupConLoss, label_aware_contrastive_loss, supervised_contrastive_loss


def module_of(loss, **options) -> nn.Module:
    return (SupConLoss if loss is scl else LCLLoss)(**options)


def inputs_of(loss, several: bool) -> tuple:
    return batch(several)[: 2 if loss is scl else 3]


@both
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.07},
        {"normalize": False, "temperature": 2.0},
        {"reduction": "sum"},
        {"reduction": "none", "temperature": 1.5},
    ],
    ids=str,
)
def test_module_is_the_formula_with_its_options(loss, several, options):
    ours = module_of(loss, **options)(*inputs_of(loss, several))
    torch.testing.assert_close(ours, formula(loss, *batch(several), **options))


@both
def test_candidates_reach_the_function(loss, several):
    past, past_labels = others(several)
    embeddings, labels, logits = batch(several)
    candidates = {
        "candidate_embeddings": torch.cat([past, embeddings]),
        "candidate_labels": torch.cat([past_labels, labels]),
        "anchor_positions": torch.arange(7, 17),
    }
    ours = module_of(loss)(*inputs_of(loss, several), **candidates)
    torch.testing.assert_close(ours, formula(loss, embeddings, labels, logits, **candidates))


def test_detached_weights_have_no_gradient(several):
    for detach in (True, False):
        embeddings, labels, logits = batch(several)
        LCLLoss(detach_weights=detach)(embeddings, labels, logits).backward()
        assert (logits.grad is None) == detach


@both
def test_a_parameter_as_temperature_is_learned(loss, several):
    module = module_of(loss, temperature=nn.Parameter(torch.tensor(0.3, dtype=torch.float64)))
    module(*inputs_of(loss, several)).backward()
    exact = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    formula(loss, *batch(several), temperature=exact).backward()
    (parameter,) = module.parameters()
    torch.testing.assert_close(parameter.grad, exact.grad)
    assert not list(module_of(loss).parameters())


@pytest.mark.parametrize(
    ("module", "function"), [(SupConLoss, supervised_contrastive_loss), (LCLLoss, label_aware_contrastive_loss)]
)
def test_module_keeps_the_options_of_the_function_with_equal_defaults(module, function):
    of_module = {p.name: p.default for p in inspect.signature(module).parameters.values()}
    of_function = inspect.signature(function).parameters.values()
    of_function = {p.name: p.default for p in of_function if p.kind is inspect.Parameter.KEYWORD_ONLY}
    candidates = {"candidate_embeddings", "candidate_labels", "anchor_positions"}
    assert of_module == {name: default for name, default in of_function.items() if name not in candidates}
