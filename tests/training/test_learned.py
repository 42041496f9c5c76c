"""A training stops when its texts are learned, with the running mean of its weights; compared with explicit sums."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, TrainerCallback, TrainerControl, TrainerState

from hf_lcl import ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.training.learned import FILE, MIN_SAMPLES, StopWhenLearned, are_learned


FAST = {"learning_rate": 4e-3, "per_device_train_batch_size": 16, "logging_strategy": "epoch", "warmup_steps": 0}


class EachStep(TrainerCallback):
    """Keeps all trainable weights after each step, and the number of steps at the end of each epoch."""

    def __init__(self):
        self.weights, self.epoch_ends = [], []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights.append(weights_of(model))

    def on_epoch_end(self, args, state, control, **kwargs):
        self.epoch_ends.append(state.global_step)


def weights_of(model) -> torch.Tensor:
    """All weights but those of the last layer, which is averaged with a refitted one in the end."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if "native.classifier" not in name]
    return torch.cat([parameter.detach().double().flatten() for _, parameter in named])


def mean_of(weights: list[torch.Tensor]) -> torch.Tensor:
    """The mean in which step t has a weight proportional to t."""
    places = torch.arange(1, len(weights) + 1, dtype=torch.float64).unsqueeze(1)
    return (places * torch.stack(weights)).sum(0) / places.sum()


def new_classifier(folder, weighting="head"):
    return LCLForSequenceClassification.from_encoder(folder, num_labels=4, weighting=weighting)


@pytest.fixture
def learner(make_trainer, encoder_folder):
    """Makes a trainer of a new classifier on texts that are easy to learn."""

    def make(objective="lcl", **settings):
        torch.manual_seed(0)
        model = new_classifier(encoder_folder, "head" if objective == "lcl" else "none")
        return make_trainer(model=model, objective=objective, **FAST | settings)

    return make


def test_it_ends_half_as_late_again_with_a_mean_in_which_later_weights_count_more(learner):
    steps = EachStep()
    trainer = learner(num_train_epochs=30, callbacks=[steps])
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss_ce" in line]
    at = 0.05 * math.log(4), 0.6 * math.log(4)
    struck = 1 + [line["loss_ce"] <= at[0] and line["loss_weighting"] <= at[1] for line in lines].index(True)
    assert 1 < struck < 20
    assert len(steps.epoch_ends) == math.ceil(1.5 * struck)
    mean = mean_of(steps.weights)
    torch.testing.assert_close(weights_of(trainer.model), mean, rtol=1e-5, atol=1e-6)
    assert (mean - steps.weights[-1]).abs().max() > 1e-3


@pytest.mark.slow
def test_of_long_trainings_the_mean_takes_so_many_samples(learner, monkeypatch):
    monkeypatch.setattr("hf_lcl.training.learned.MIN_SAMPLES", 50)
    assert MIN_SAMPLES > 50
    steps = EachStep()
    trainer = learner(num_train_epochs=30, callbacks=[steps])
    trainer.train()
    every = trainer.state.max_steps // 50
    assert every > 1
    mean = mean_of(steps.weights[every - 1 :: every])
    torch.testing.assert_close(weights_of(trainer.model), mean, rtol=1e-5, atol=1e-6)


def test_what_is_not_learned_keeps_all_its_epochs_and_the_last_weights(learner):
    steps = EachStep()
    trainer = learner(num_train_epochs=2, learning_rate=1e-5, callbacks=[steps])
    trainer.train()
    assert len(steps.epoch_ends) == 2
    assert torch.equal(weights_of(trainer.model), steps.weights[-1])


class LastLayer(EachStep):
    """Keeps the weights of the last layer after each step."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights.append(model.native.classifier.weight.detach().double().flatten())


@pytest.mark.slow
def test_half_of_the_last_layer_is_fitted_to_the_mean_of_the_encoder(learner, splits):
    steps = LastLayer()
    trainer = learner(num_train_epochs=30, names_as_texts=False, callbacks=[steps])
    trainer.train()
    native = trainer.model.native.eval()
    with torch.no_grad():
        rows = [native.bert(torch.tensor([ids])).pooler_output for ids in splits["train"]["input_ids"]]
    features, labels = torch.cat(rows).double().numpy(), splits["train"]["labels"][:]
    centred = features - features.mean(axis=0)
    scale = np.sqrt(np.square(centred).sum(axis=1).mean())
    fitted = LogisticRegression(C=30.0, max_iter=1000).fit(centred / scale, labels).coef_ / scale
    half = (mean_of(steps.weights).reshape(4, -1).numpy() + fitted) / 2
    np.testing.assert_allclose(native.classifier.weight.detach().numpy(), half, atol=1e-4)
    assert trainer.evaluate()["eval_accuracy"] > 0.9


@pytest.mark.parametrize("length", [{"num_train_epochs": 30}, {"max_steps": 120}], ids=str)
def test_the_end_is_told_and_exported(learner, caplog, length):
    trainer = learner(**length)
    trainer.train()
    assert "The training texts are learned after epoch " in caplog.text
    trainer.save_model()
    folder = Path(trainer.args.output_dir)
    exported = AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.equal(exported.classifier.weight, trainer.model.native.classifier.weight)
    assert not (folder / FILE).exists()
    assert "Training ended when its texts were learned" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("settings", "is_on"),
    [
        ({}, True),
        ({"head_start": False}, False),
        ({"head_start": False, "stop_when_learned": True}, True),
        ({"stop_when_learned": False}, False),
        ({"alpha": 1.0}, False),
        ({"objective": "ce"}, False),
        ({"objective": "ce", "head_start": True}, False),
        ({"objective": "scl"}, False),
        ({"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}, False),
    ],
)
def test_it_is_on_after_a_head_start(learner, settings, is_on, tmp_path):
    trainer = learner(num_train_epochs=1, **settings)
    trainer.train()
    folder = tmp_path / "checkpoint"
    trainer.save_model(str(folder), _internal_call=True)
    assert (folder / FILE).exists() == is_on


@pytest.mark.slow
def test_a_training_goes_on_from_the_middle_of_an_epoch_to_the_last_bit(learner):
    settings = {"num_train_epochs": 30, "save_strategy": "steps", "save_steps": 2}
    whole = learner(folder="whole", **settings)
    whole.train()
    places = sorted(int(path.name.partition("-")[2]) for path in Path(whole.args.output_dir).glob("checkpoint-*"))
    assert whole.state.global_step < whole.state.max_steps
    at_ends = places[1::2]
    assert at_ends[0] == whole.state.max_steps / 30  # the end of the first epoch
    for step in (places[0], *at_ends[1:], places[-1]):
        resumed = learner(folder=f"resumed-{step}", **settings)
        resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-{step}")
        one_more = step == whole.state.global_step  # the training had ended; the step changes nothing
        assert resumed.state.global_step == whole.state.global_step + one_more
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, resumed.model.state_dict()[name]), (step, name)


@pytest.mark.parametrize(
    ("before", "asked", "is_learned"),
    [([5.0, 5.0], True, False), ([0.01, 0.1], True, True), ([0.01, 0.1], None, True), ([0.01, 0.1], False, False)],
)
def test_the_part_of_an_epoch_before_a_checkpoint_counts(bert, tmp_path, before, asked, is_learned):
    model = LCLForSequenceClassification.from_native(bert, weighting="head")
    args = ContrastiveTrainingArguments(str(tmp_path / "out"), stop_when_learned=True, use_cpu=True)
    state, control = TrainerState(max_steps=8, num_train_epochs=4), TrainerControl()
    stopped, resumed = StopWhenLearned(), StopWhenLearned()
    texts = DataLoader([0])
    stopped.on_train_begin(args, state, control, model=model, train_dataloader=texts)
    stopped.observe(before)
    state.global_step, state.epoch = 1, 0.5
    stopped.on_step_end(args, state, control, model=model)
    stopped.save(tmp_path)
    resumed.checkpoint, args.stop_when_learned = str(tmp_path), asked
    resumed.on_train_begin(args, state, control, model=model, train_dataloader=texts)
    resumed.observe([0.0, 0.0])
    state.global_step, state.epoch = 2, 1.0
    resumed.on_step_end(args, state, control, model=model)
    resumed.on_epoch_end(args, state, control, model=model)
    resumed.on_train_end(args, state, control, model=model)
    assert resumed.has_ended == is_learned


@pytest.mark.slow
def test_one_that_has_ended_is_what_it_was_when_it_is_resumed(learner):
    settings = {"num_train_epochs": 20, "save_strategy": "epoch"}
    whole = learner(folder="whole", **settings)
    whole.train()
    resumed = learner(folder="whole", **settings)
    resumed.train(resume_from_checkpoint=True)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


@pytest.mark.slow
def test_a_second_training_begins_its_own_mean(learner):
    trainer = learner(num_train_epochs=20)
    trainer.train()
    steps = EachStep()
    trainer.add_callback(steps)
    trainer.train()
    torch.testing.assert_close(weights_of(trainer.model), mean_of(steps.weights), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_frozen_encoder_stays_as_it_is(learner):
    trainer = learner(num_train_epochs=20, stop_when_learned=True)
    encoder = trainer.model.native.bert.encoder.requires_grad_(False)
    before = weights_of(encoder)
    trainer.train()
    assert torch.equal(before, weights_of(encoder))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"},
            r"stop_when_learned=True ends with the mean .* leave one of them out",
        ),
        ({"objective": "scl"}, "loss of the weighting network, which objective='scl' does not have: leave it out"),
    ],
)
def test_what_cannot_be_had_is_refused(make_trainer, settings, told):
    with pytest.raises(ValueError, match=told):
        make_trainer(stop_when_learned=True, **settings)


def test_several_labels_are_refused(make_trainer):
    told = "asks when one label per text .* problem_type='multi_label_classification', weighting='head': leave it out"
    with pytest.raises(ValueError, match=told):
        make_trainer(objective="lcl", stop_when_learned=True, several=True)


def test_a_model_whose_classifier_is_its_weighting_network_is_refused(make_trainer, bert):
    model = LCLForSequenceClassification.from_native(bert, weighting="classifier")
    with pytest.raises(ValueError, match=r"weighting network of its own; .* weighting='classifier': leave it out"):
        make_trainer(model=model, objective="lcl", stop_when_learned=True)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.05 * math.log(77), 0.6 * math.log(77)], True),
        ([0.051 * math.log(77), 0.5], False),
        ([0.01, 0.61 * math.log(77)], False),
        ([0.0], False),
    ],
)
def test_learned_is_what_is_far_from_guessing(losses, expected):
    assert are_learned(losses, 77) == expected
