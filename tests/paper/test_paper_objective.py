"""The formulas of the papers, pair by pair."""

import importlib
import sys
from pathlib import Path

import pytest
import torch


LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 0])


@pytest.fixture
def objective(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "paper")
    yield importlib.import_module("paper_objective").PaperObjective
    del sys.modules["paper_objective"]


def tensors():
    generator = torch.Generator().manual_seed(0)
    shapes = ((7, 4), (7, 5), (7, 4))
    return [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]


def by_hand(name, embeddings, weighting_logits, weight_placement="outside", temperature_scaling="none"):
    h = embeddings / embeddings.square().sum(dim=1, keepdim=True).sqrt()
    losses = []
    for i, label in enumerate(LABELS.tolist()):
        candidates = [k for k in range(7) if k != i]
        positives = [p for p in candidates if LABELS[p] == label]
        if not positives:
            continue
        w = (
            torch.ones(4, dtype=h.dtype)
            if name == "scl"
            else weighting_logits[i].exp() / weighting_logits[i].exp().sum()
        )
        tau = 0.3 * (len(positives) if temperature_scaling == "positives" else 1)
        denominator = sum(w[LABELS[k]] * (h[i] @ h[k] / tau).exp() for k in candidates)
        outside, inside = (w[label], 1) if weight_placement == "outside" else (1, w[label])
        terms = [(inside * (h[i] @ h[p] / tau).exp() / denominator).log() for p in positives]
        losses.append(-outside * sum(terms) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("scaling", ["none", "positives"])
@pytest.mark.parametrize(("name", "placement"), [("scl", "outside"), ("lcl", "outside"), ("lcl", "inside")])
def test_loss_and_gradients_are_those_of_the_printed_formula(objective, name, placement, scaling):
    formula = {"weight_placement": placement, "temperature_scaling": scaling}
    logits, *inputs = tensors()
    loss, _ = objective(name, alpha=0.0, **formula)(logits, *inputs, LABELS)
    expected = by_hand(name, *tensors()[1:], **formula)
    torch.testing.assert_close(loss, expected)
    exact = tensors()[1:]
    by_hand(name, *exact, **formula).backward()
    loss.backward()
    for ours, precise in zip(inputs, exact):
        assert (ours.grad is None) == (precise.grad is None)
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, precise.grad)


def test_detached_weights_inside_leave_the_weighting_network_alone(objective):
    logits, embeddings, weighting_logits = tensors()
    formula = {"weight_placement": "inside", "detach_weights": True, "weighting_is_trained": False}
    objective("lcl", alpha=0.0, **formula)(logits, embeddings, weighting_logits, LABELS)[0].backward()
    assert embeddings.grad.abs().sum() > 0
    assert weighting_logits.grad is None
