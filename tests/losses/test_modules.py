"""The losses as modules: the functions, with their options kept."""

import inspect
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from hf_lcl import LCLLoss, SupConLoss, label_aware_contrastive_loss, supervised_contrastive_loss


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, labels (class 3 has one text) and weighting logits."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 3])
    embeddings = torch.randn(8, 5, generator=generator, requires_grad=True)
    return embeddings, labels, torch.randn(8, 4, generator=generator, requires_grad=True)


def options(**more: tuple) -> list[dict]:
    """Every combination of the options' values."""
    values = {
        "temperature": (0.07, 2.0),
        "normalize": (True, False),
        "reduction": ("mean", "sum", "none"),
        "temperature_scaling": ("none", "positives"),
        **more,
    }
    return [dict(zip(values, combination)) for combination in product(*values.values())]


CANDIDATES = ("candidate_embeddings", "candidate_labels", "anchor_positions")


@pytest.mark.parametrize("chosen", options(), ids=str)
def test_sup_con_module_is_the_function(chosen):
    embeddings, labels, _ = inputs()
    expected = supervised_contrastive_loss(embeddings, labels, **chosen)
    assert torch.equal(SupConLoss(**chosen)(embeddings, labels), expected)


@pytest.mark.parametrize(
    "chosen", options(detach_weights=(True, False), weight_placement=("outside", "inside")), ids=str
)
def test_lcl_module_is_the_function_in_value_and_gradients(chosen):
    results = []
    for loss in (LCLLoss(**chosen), lambda *tensors: label_aware_contrastive_loss(*tensors, **chosen)):
        embeddings, labels, weighting_logits = inputs()
        value = loss(embeddings, labels, weighting_logits)
        value.sum().backward()
        results.append((value, embeddings.grad, weighting_logits.grad))
    of_module, of_function = results
    assert torch.equal(of_module[0], of_function[0])
    assert torch.equal(of_module[1], of_function[1])
    if chosen["detach_weights"]:
        assert of_module[2] is None
    else:
        assert torch.equal(of_module[2], of_function[2])


@pytest.mark.parametrize(
    ("module", "function"),
    [(SupConLoss, supervised_contrastive_loss), (LCLLoss, label_aware_contrastive_loss)],
)
def test_module_takes_what_the_function_takes_with_equal_defaults(module, function):
    def defaults(callable_, kind) -> dict:
        parameters = inspect.signature(callable_).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if parameter.kind is kind}

    options = defaults(module, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    candidates = defaults(module.forward, inspect.Parameter.KEYWORD_ONLY)
    assert options | candidates == defaults(function, inspect.Parameter.KEYWORD_ONLY)
    assert not options.keys() & candidates.keys()


@pytest.mark.parametrize("module", [SupConLoss(), LCLLoss()])
def test_candidates_reach_the_function(module):
    embeddings, labels, weighting_logits = inputs()
    function = supervised_contrastive_loss if isinstance(module, SupConLoss) else label_aware_contrastive_loss
    arguments = (embeddings, labels) if isinstance(module, SupConLoss) else (embeddings, labels, weighting_logits)
    candidates = {
        "candidate_embeddings": torch.cat([torch.eye(5)[:2], embeddings]),
        "candidate_labels": torch.cat([torch.tensor([0, 1]), labels]),
        "anchor_positions": torch.arange(2, 10),
    }
    assert torch.equal(module(*arguments, **candidates), function(*arguments, **candidates))
    assert not torch.equal(module(*arguments, **candidates), module(*arguments))


@pytest.mark.parametrize("module", [SupConLoss(), LCLLoss()])
def test_modules_hold_nothing_to_train_or_save(module):
    assert isinstance(module, nn.Module)
    assert not list(module.parameters())
    assert not module.state_dict()
