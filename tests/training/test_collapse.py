"""The monitor warns about collapsed trainings, and only about these."""

import pytest
import torch
from torch.nn import functional

from hf_lcl import ContrastiveTrainingArguments
from hf_lcl.training.collapse import WINDOW_STEPS, CollapseMonitor, Health, explain_collapse


def health(**values) -> Health:
    usual = {"accuracy": 0.3, "majority": 0.3, "texts": 1000, "spread": 0.5, "directions": 9.0}
    return Health(**usual | {"squared_length": 1.0, "valid_anchors": 1.0} | values)


def test_health_is_what_the_definitions_say():
    torch.manual_seed(0)
    embeddings, labels = torch.randn(12, 5) + 1, torch.randint(3, (12,))
    logits = torch.randn(12, 3)
    monitor = CollapseMonitor()
    monitor.observe(embeddings, logits, labels)
    now = monitor.health()
    unit = functional.normalize(embeddings, dim=1)
    cosines = [unit[i] @ unit[j] for i in range(12) for j in range(12) if i != j]
    assert now.spread == pytest.approx(1 - torch.stack(cosines).mean().item(), abs=1e-5)
    assert now.accuracy == pytest.approx((logits.argmax(dim=1) == labels).float().mean().item())
    assert now.majority == pytest.approx(torch.bincount(labels).max().item() / 12)
    assert now.squared_length == pytest.approx(embeddings.square().sum(dim=1).mean().item(), rel=1e-5)
    variances = torch.linalg.eigvalsh(torch.cov(embeddings.T))
    shares = variances / variances.sum()
    assert now.directions == pytest.approx((-(shares * shares.log()).sum()).exp().item(), rel=1e-4)


@pytest.mark.parametrize(("accuracy", "predicts_one"), [(0.30, True), (0.32, True), (0.34, False), (0.9, False)])
def test_chance_is_allowed_for(accuracy, predicts_one):
    assert health(accuracy=accuracy).predicts_one_class == predicts_one


@pytest.mark.slow
def test_dot_products_that_saturate_collapse_and_are_told_once(make_trainer, caplog):
    trainer = make_trainer(
        objective="scl",
        normalize_embeddings=False,
        temperature=0.005,
        alpha=0.1,
        max_steps=2 * WINDOW_STEPS,
        learning_rate=1e-2,
        logging_steps=WINDOW_STEPS,
    )
    with caplog.at_level("WARNING", "hf_lcl"):
        trainer.train()
    told = [record.message for record in caplog.records if "has collapsed" in record.message]
    assert len(told) == 1
    assert "normalize_embeddings=True" in told[0]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["scl", "lcl"])
def test_the_defaults_learn_and_nothing_is_told(make_trainer, caplog, objective):
    trainer = make_trainer(
        objective=objective, max_steps=2 * WINDOW_STEPS, learning_rate=3e-3, logging_steps=WINDOW_STEPS
    )
    with caplog.at_level("WARNING", "hf_lcl"):
        trainer.train()
    assert "has collapsed" not in caplog.text
    assert trainer.evaluate()["eval_accuracy"] >= 0.9


def test_every_cause_names_what_helps(tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), objective="scl")
    told = explain_collapse(health(), health(spread=0.001), args, 50)
    assert "learning_rate (now 5e-05)" in told
    assert "raise alpha (now 0.5)" in told
    assert "sampler='balanced'" in explain_collapse(health(), health(spread=0.001, valid_anchors=0.1), args, 50)


def test_plain_cross_entropy_shows_the_monitor_nothing(make_trainer):
    trainer = make_trainer(objective="ce", max_steps=2)
    trainer.train()
    (monitor,) = [own for own in trainer.callback_handler.callbacks if isinstance(own, CollapseMonitor)]
    assert monitor._batches == []


def test_the_monitor_can_be_taken_away(make_trainer, monkeypatch):
    trainer = make_trainer(max_steps=2)
    monkeypatch.setattr(CollapseMonitor, "observe", lambda *_: pytest.fail("It is asked all the same."))
    trainer.remove_callback(CollapseMonitor)
    trainer.train()
