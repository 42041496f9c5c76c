"""The cost of the start relative to the training, and the message about it."""

import pytest
import torch
from torch import nn

from hf_lcl import ContrastiveTrainingArguments
from hf_lcl.model.modeling import LCLForSequenceClassification
from hf_lcl.start import distill_mean
from hf_lcl.start.mean_distillation import num_distillation_batches
from hf_lcl.training.start import distillation_batches, start_shares


@pytest.fixture
def args_of(tmp_path):
    return lambda **settings: ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, **settings)


@pytest.mark.parametrize("num_texts", [20, 105, 700, 5000])
@pytest.mark.parametrize("steps", [1, 14, 60, 480])
@pytest.mark.parametrize("views", [1, 2])
def test_it_takes_no_longer_than_the_training(args_of, num_texts, steps, views):
    batch_size, args = 16, args_of(num_views=views)
    number = distillation_batches(args, num_texts, batch_size, steps)
    needed = num_distillation_batches(num_texts, batch_size)
    shares = start_shares(args, ["distill_mean"], num_texts, batch_size, steps)
    assert 1 <= number <= needed
    assert shares["distill_mean"] <= 0.5 or number == 1
    # It is cut no more than necessary: one batch more would exceed the time of the training.
    more = 3 * 16 * (number + 1) + min(16 * (number + 1), num_texts)
    assert number == needed or more > 3 * 16 * steps * views * 0.9


def test_it_is_whole_where_it_is_asked_for_or_nothing_is_known_of_the_training(args_of):
    needed = num_distillation_batches(700, 16)
    assert distillation_batches(args_of(distill_mean=True), 700, 16, 10) == needed
    assert distillation_batches(args_of(), 700, 16, 0) == needed
    assert distillation_batches(args_of(gradient_accumulation_steps=4), 700, 16, 40) == 160 - 15


def test_the_shares_of_the_whole(args_of):
    # Cost in forward passes: 1 for the teacher and the fit, 3 with a backward pass, which costs two of them.
    shares = start_shares(args_of(distill_mean=None), ["distill_mean", "head_start"], 200, 30, 40)
    number = distillation_batches(args_of(), 200, 30, 40)
    passes = 3 * 30 * number + min(30 * number, 200)
    assert shares["distill_mean"] == pytest.approx(passes / (passes + 200 + 3600))
    assert shares["head_start"] == pytest.approx(200 / (passes + 200 + 3600))
    shares = start_shares(args_of(), ["head_start"], 200, 30, 40, compared=50)
    assert shares["head_start"] == pytest.approx(250 / (250 + 3600))


def test_the_teacher_reads_each_text_once_and_says_the_same(bert, tokenizer, splits, monkeypatch):
    rows = [{"input_ids": row["input_ids"]} for row in splits["test"]]
    for module in bert.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    weights = {name: tensor.clone() for name, tensor in bert.state_dict().items()}

    read = []

    def taught(kept: int) -> dict[str, torch.Tensor]:
        """The weights after three passes over the texts, with different batches in each."""
        bert.load_state_dict(weights)
        monkeypatch.setattr("hf_lcl.start.mean_distillation.KEPT_TEXTS", kept)
        batches = [
            dict(tokenizer.pad(rows[start::3] if turn % 2 else rows[8 * start :][:8], return_tensors="pt"))
            for turn in range(3)
            for start in range(3)
        ]
        model = LCLForSequenceClassification.from_native(bert, weighting="none")
        read.clear()
        counted, original = type(bert.bert), type(bert.bert).forward

        def forward(self, *args, **kwargs):
            read.extend(kwargs["input_ids"] if not torch.is_grad_enabled() else [])
            return original(self, *args, **kwargs)

        monkeypatch.setattr(counted, "forward", forward)
        distill_mean(model, batches, len(batches))
        monkeypatch.setattr(counted, "forward", original)
        return {name: tensor.clone() for name, tensor in bert.state_dict().items()}

    once = taught(kept=10_000)
    assert len(read) == len(rows)
    again = taught(kept=0)
    assert len(read) == 3 * len(rows)
    assert max((tensor - weights[name]).abs().max() for name, tensor in once.items()) > 1e-3
    for name, tensor in once.items():
        torch.testing.assert_close(tensor, again[name], rtol=0, atol=1e-4)


def test_it_is_announced_before_it_runs(make_trainer, bert, caplog):
    model = LCLForSequenceClassification.from_native(bert)
    settings = {"objective": "lcl", "distill_mean": True, "head_start": True, "names_as_texts": False}
    make_trainer(model, max_steps=4, **settings).train()
    told = [record.getMessage() for record in caplog.records if record.name == "hf_lcl.training.start"]
    assert len(told) == 1
    assert told[0].startswith("Before the first step: mean into first token, about ")
    assert told[0].endswith("% of the whole time. Left out by distill_mean=False, head_start=False.")
