"""ContrastiveTrainer: the objective inside the Trainer, step for step."""

import copy

import pytest
import torch
from torch.nn import functional
from transformers import DataCollatorWithPadding, EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

from hf_lcl import ContrastiveTrainer, LCLForSequenceClassification


# Settings with which the tiny classifier learns the classes of the test data.
FAST = {"max_steps": 50, "learning_rate": 1e-2, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 10}


def losses(trainer) -> list[float]:
    """The training losses in the log."""
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def weights(model) -> dict[str, torch.Tensor]:
    """A copy of all weights of the classifier."""
    native = model.native if isinstance(model, LCLForSequenceClassification) else model
    return {name: tensor.clone() for name, tensor in native.state_dict().items()}


def test_ce_is_the_trainer_of_transformers_bit_by_bit(make_trainer, bert, several, tokenizer, tmp_path):
    stock_model = copy.deepcopy(bert)
    stock_model.config.problem_type = f"{'multi' if several else 'single'}_label_classification"
    ours = make_trainer(objective="ce", max_steps=5, several=several)
    ours.train()
    stock = Trainer(
        model=stock_model,
        args=TrainingArguments(
            str(tmp_path / "stock"),
            per_device_train_batch_size=16,
            learning_rate=1e-3,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
            max_steps=5,  # into the second epoch
        ),
        train_dataset=ours.train_dataset,
        processing_class=tokenizer,
    )
    stock.train()
    assert len(losses(ours)) == 5
    assert losses(ours) == losses(stock)
    expected = weights(stock_model)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(ours.model).items())


def test_accumulation_equals_one_large_batch(make_trainer, several, bert):
    for dropout in [module for module in bert.modules() if isinstance(module, torch.nn.Dropout)]:
        dropout.p = 0.0
    start = copy.deepcopy(bert)
    settings = {"objective": "ce", "optim": "sgd", "learning_rate": 0.5, "max_grad_norm": 0.0, "num_train_epochs": 1}
    settings["several"] = several
    once = make_trainer(per_device_train_batch_size=32, **settings)
    once.train()
    model = LCLForSequenceClassification.from_native(start, weighting="none")
    often = make_trainer(model, per_device_train_batch_size=8, gradient_accumulation_steps=4, **settings)
    often.train()
    assert losses(often) == pytest.approx(losses(once), abs=1e-6)
    expected = weights(once.model)
    for name, tensor in weights(often.model).items():
        assert torch.allclose(tensor, expected[name], atol=1e-6), name


@pytest.mark.parametrize(
    ("objective", "alpha", "accumulation", "several"),
    [  # with accumulation 4, the second update of an epoch has two batches
        pytest.param("lcl", 0.5, 1, True, id="lcl-0.5-1"),
        pytest.param("lcl", 0.5, 1, False, id="lcl-0.5-1-one", marks=pytest.mark.slow),
        pytest.param("scl", 0.7, 3, False, id="scl-0.7-3-one", marks=pytest.mark.slow),
        pytest.param("lcl", 0.2, 4, False, id="lcl-0.2-4"),
        pytest.param("scl", 0.7, 3, True, id="scl-0.7-3"),
    ],
)
def test_the_logged_parts_add_up_to_the_logged_loss(make_trainer, objective, alpha, accumulation, several):
    trainer = make_trainer(
        objective=objective,
        alpha=alpha,
        several=several,
        per_device_train_batch_size=12,
        gradient_accumulation_steps=accumulation,
        logging_steps=2,
        num_train_epochs=2,
        eval_strategy="epoch",
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line or "eval_loss" in line]
    assert len(lines) >= 3
    for line in lines:
        prefix = "eval_" if "eval_loss" in line else ""
        classification = line[f"{prefix}loss_ce"] + line.get(f"{prefix}loss_weighting", 0.0)
        expected = alpha * classification + (1 - alpha) * line[f"{prefix}loss_contrastive"]
        assert line[f"{prefix}loss"] == pytest.approx(expected, abs=2e-6)
        assert 0 < line[f"{prefix}valid_anchors"] <= 1
        assert -1 <= line[f"{prefix}negative_similarity"] <= 1
        assert (f"{prefix}loss_weighting" in line) == (objective == "lcl")


@pytest.mark.parametrize(
    ("objective", "weighting", "several"),
    [
        ("ce", "none", True),
        pytest.param("ce", "none", False, marks=pytest.mark.slow),
        ("scl", "none", False),
        ("lcl", "head", False),
        pytest.param("lcl", "classifier", False, marks=pytest.mark.slow),
        pytest.param("lcl", "encoder", False, marks=pytest.mark.slow),
        pytest.param("lcl", "classifier", True, marks=pytest.mark.slow),
    ],
)
def test_every_objective_learns_separable_classes(make_trainer, objective, weighting, several):
    trainer = make_trainer(objective=objective, weighting=weighting, several=several, **FAST)
    trainer.train()
    found = trainer.evaluate()
    assert found["eval_mean_average_precision"] >= 0.8 if several else found["eval_accuracy"] >= 0.9


@pytest.mark.parametrize(
    ("weighting", "several"),
    [("head", True), ("encoder", False), pytest.param("head", False, marks=pytest.mark.slow)],
)
def test_one_step_moves_every_weight_of_encoder_heads_and_weighting_network(make_trainer, weighting, several):
    trainer = make_trainer(objective="lcl", weighting=weighting, several=several, max_steps=1, warmup_steps=0)
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.train()
    still = {name for name, tensor in trainer.model.state_dict().items() if torch.equal(tensor, before[name])}
    # Except for embeddings that no text of the step used (token type 1 is for pairs) and for buffers.
    assert not {name for name in still if "position_ids" not in name and "token_type_ids" not in name}


def test_evaluation_returns_logits_only(make_trainer, splits):
    output = make_trainer(objective="lcl").predict(splits["test"])
    assert output.predictions.shape == (24, 4)


def test_texts_without_labels_can_be_predicted(make_trainer, splits):
    output = make_trainer(objective="lcl").predict(splits["test"].remove_columns("labels"))
    assert output.predictions.shape == (24, 4)
    assert output.label_ids is None


def test_evaluation_between_steps_leaves_the_training_log_alone(make_trainer):
    trainer = make_trainer(objective="lcl", num_train_epochs=1)
    trainer.train()
    with_evaluation = make_trainer(
        LCLForSequenceClassification.from_native(trainer.model.native),
        objective="lcl",
        eval_strategy="steps",
        eval_steps=1,
        num_train_epochs=1,
        learning_rate=0.0,
    )
    with_evaluation.train()
    train_lines = [line for line in with_evaluation.state.log_history if "loss" in line]
    assert len(train_lines) == 4
    for line in train_lines:
        parts = 0.5 * (line["loss_ce"] + line["loss_weighting"] + line["loss_contrastive"])
        assert line["loss"] == pytest.approx(parts, abs=2e-6)


def test_the_classifier_as_weighting_network_has_no_cross_entropy_of_its_own(make_trainer, splits):
    metrics = make_trainer(objective="lcl", weighting="classifier").predict(splits["validation"]).metrics
    assert "test_loss_weighting" not in metrics
    expected = 0.5 * metrics["test_loss_ce"] + 0.5 * metrics["test_loss_contrastive"]
    assert metrics["test_loss"] == pytest.approx(expected, abs=1e-6)


def test_columns_of_the_architecture_are_kept(make_trainer):
    batch = next(iter(make_trainer(objective="lcl").get_train_dataloader()))
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}


def test_batches_of_a_contrastive_objective_hold_several_texts_per_class(make_trainer):
    for batch in make_trainer(objective="scl", per_device_train_batch_size=8).get_train_dataloader():
        counts = batch["labels"].unique(return_counts=True)[1]
        assert len(counts) >= 2
        assert counts.min() >= 2


@pytest.mark.parametrize("settings", [{"objective": "ce"}, {"objective": "lcl", "sampler": "random"}])
def test_random_batches_are_those_of_transformers(make_trainer, settings):
    sampler = make_trainer(**settings)._get_train_sampler()
    assert isinstance(sampler, torch.utils.data.RandomSampler)


def test_label_smoothing_is_that_of_the_trainer(make_trainer, bert, splits, tokenizer, tmp_path):
    ours = make_trainer(objective="ce", label_smoothing_factor=0.1).evaluate()["eval_loss"]
    args = TrainingArguments(str(tmp_path), label_smoothing_factor=0.1, use_cpu=True, disable_tqdm=True)
    collator = DataCollatorWithPadding(tokenizer)
    data = splits["validation"].remove_columns("text")
    stock = Trainer(bert, args, data_collator=collator, eval_dataset=data)
    assert ours == pytest.approx(stock.evaluate()["eval_loss"], abs=1e-6)


def test_labels_are_smoothed_where_texts_have_several_and_nobody_says_that_they_are_not(make_trainer, recwarn):
    trainer = make_trainer(objective="ce", label_smoothing_factor=0.1, several=True)
    predicted = trainer.predict(trainer.eval_dataset)
    logits, labels = torch.tensor(predicted.predictions), torch.tensor(predicted.label_ids)
    expected = functional.binary_cross_entropy_with_logits(logits, 0.9 * labels + 0.05)
    assert predicted.metrics["test_loss_ce"] == pytest.approx(expected.item(), abs=1e-6)
    assert not [warning for warning in recwarn if "smoothing" in str(warning.message)]


def test_class_weights_are_those_of_torch(make_trainer, several):
    given = [1.0, 2.0, 3.0, 4.0]
    trainer = make_trainer(objective="ce", class_weights=given, several=several, per_device_eval_batch_size=64)
    predicted = trainer.predict(trainer.eval_dataset)
    logits, labels = torch.tensor(predicted.predictions), torch.tensor(predicted.label_ids)
    if several:
        expected = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=torch.tensor(given))
    else:
        expected = functional.cross_entropy(logits, labels, weight=torch.tensor(given))
    assert predicted.metrics["test_loss"] == pytest.approx(expected.item(), abs=1e-6)


def test_balanced_class_weights_are_inverse_to_the_frequency(make_trainer, splits):
    labels = splits["train"]["labels"][:]
    kept = [row for row, label in enumerate(labels) if label != 3] + [
        row for row, label in enumerate(labels) if label == 3
    ][:4]
    trainer = make_trainer(objective="ce", class_weights="balanced", train=splits["train"].select(kept))
    assert trainer._data.training.balanced_weights(4) == pytest.approx([52 / 64, 52 / 64, 52 / 64, 52 / 16])


def test_early_stopping_and_the_best_model(make_trainer, tmp_path):
    trainer = make_trainer(
        objective="lcl",
        num_train_epochs=6,
        learning_rate=3e-3,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="loss_ce",
        callbacks=[EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=0.5)],
    )
    trainer.train()
    assert trainer.state.epoch < 6
    evaluations = [line["eval_loss_ce"] for line in trainer.state.log_history if "eval_loss_ce" in line]
    assert trainer.evaluate()["eval_loss_ce"] == pytest.approx(min(evaluations), abs=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"bf16": True},
        pytest.param({"bf16": True, "several": True}, marks=pytest.mark.slow),
        pytest.param({"torch_compile": True, "torch_compile_backend": "eager"}, marks=pytest.mark.slow),
    ],
)
def test_mixed_precision_and_compilation_train(make_trainer, settings):
    trainer = make_trainer(objective="lcl", **FAST | {"max_steps": 20}, **settings)
    trainer.train()
    assert losses(trainer)[-1] < losses(trainer)[0]
    found = trainer.evaluate()
    assert found.get("eval_accuracy", found.get("eval_mean_average_precision")) > 0.5


def test_a_plain_classifier_is_wrapped_with_what_the_objective_needs(make_trainer, bert):
    assert make_trainer(bert, objective="lcl").model.config.weighting == "head"
    assert make_trainer(bert, objective="scl").model.config.weighting == "none"


def test_a_name_takes_its_classes_from_the_training_set(make_trainer, encoder_folder):
    first = make_trainer(str(encoder_folder), objective="lcl")
    second = make_trainer(str(encoder_folder), objective="lcl")
    assert first.model.config.id2label == {0: "angry", 1: "annoyed", 2: "glad", 3: "proud"}
    assert torch.equal(first.model.native.classifier.weight, second.model.native.classifier.weight)


def test_class_names_of_the_data_replace_numbered_ones(make_trainer, bert):
    trainer = make_trainer(bert, objective="ce")
    assert trainer.model.native.config.label2id == {"angry": 0, "annoyed": 1, "glad": 2, "proud": 3}


def test_model_init_is_wrapped_too(bert, splits, tokenizer, make_trainer):
    args = make_trainer(objective="lcl").args
    trainer = ContrastiveTrainer(
        model_init=lambda: copy.deepcopy(bert), args=args, train_dataset=splits["train"], processing_class=tokenizer
    )
    assert isinstance(trainer.model, LCLForSequenceClassification)
    assert trainer.train().training_loss > 0


def test_an_evaluation_loss_is_the_mean_over_the_texts_whatever_the_last_batch_holds(make_trainer, several):
    # Of 24 texts, 4 are left over.
    trainer = make_trainer(objective="ce", several=several, per_device_eval_batch_size=10)
    trainer.model.native.classifier.weight.data *= 20
    predicted = trainer.predict(trainer.eval_dataset)
    logits, labels = torch.tensor(predicted.predictions), torch.tensor(predicted.label_ids)
    loss = functional.binary_cross_entropy_with_logits if several else functional.cross_entropy
    expected = loss(logits, labels).item()
    assert predicted.metrics["test_loss_ce"] == pytest.approx(expected, abs=1e-5)
    parts = [loss(*part).item() for part in zip(logits.split(10), labels.split(10))]
    assert expected != pytest.approx(sum(parts) / 3, abs=1e-3)


class Notes(TrainerCallback):
    """Logs other values between two lines with a loss."""

    def __init__(self):
        self.trainer = None

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % 2:
            self.trainer.log({"note": 1.0})


def test_a_line_without_a_loss_takes_no_parts_from_the_next_one(make_trainer):
    notes = Notes()
    trainer = make_trainer(objective="lcl", max_steps=4, logging_steps=2, callbacks=[notes])
    notes.trainer = trainer
    trainer.train()
    for line in trainer.state.log_history:
        if "note" in line:
            assert "loss_ce" not in line
        if "loss" in line:
            parts = 0.5 * (line["loss_ce"] + line["loss_weighting"] + line["loss_contrastive"])
            assert line["loss"] == pytest.approx(parts, abs=2e-6)
