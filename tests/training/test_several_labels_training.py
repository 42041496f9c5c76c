"""Training with several labels per text: tests that do not apply to one label per text."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import AutoModelForSequenceClassification

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments
from hf_lcl.data import balance_stream
from hf_lcl.evaluation.thresholds import fold_cuts
from hf_lcl.start.head import INVERSE_PENALTY, find_head, fit_head, head_inputs


@pytest.fixture
def make(make_trainer):
    """Makes a trainer on texts with several labels; keyword arguments are training arguments."""
    return lambda **settings: make_trainer(several=True, **{"objective": "lcl", "max_steps": 4} | settings)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"objective": "ce"}, marks=pytest.mark.slow),
        {"objective": "scl", "num_views": 2},
        {"objective": "lcl", "mini_batch_size": 4, "class_weights": "balanced", "head_start": True},
    ],
    ids=lambda settings: settings["objective"],
)
def test_what_is_saved_is_a_plain_classifier_of_several_labels(make, several_splits, settings):
    trainer = make(**settings)
    trainer.train()
    trainer.save_model()
    assert trainer.evaluate()["eval_loss_ce"] > 0
    plain = AutoModelForSequenceClassification.from_pretrained(trainer.args.output_dir).eval()
    assert plain.config.problem_type == "multi_label_classification"
    logits = torch.from_numpy(trainer.predict(several_splits["test"]).predictions)
    row = several_splits["test"][0]
    inputs = {name: torch.tensor([row[name]]) for name in ("input_ids", "attention_mask", "token_type_ids")}
    labels = torch.tensor([row["labels"]])
    with torch.no_grad():
        output = plain(**inputs, labels=labels)
    torch.testing.assert_close(output.logits[0], logits[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.loss, binary_cross_entropy_with_logits(output.logits, labels))
    loss = trainer.model.eval()(**inputs, labels=labels).loss
    torch.testing.assert_close(loss, output.loss, rtol=1e-4, atol=1e-5)
    if settings["objective"] != "ce":
        assert 0 < trainer.state.log_history[0]["valid_anchors"] <= 1


def test_every_batch_gives_each_text_with_labels_a_positive(make, several_splits):
    trainer = make(objective="scl", num_train_epochs=1, max_steps=-1)
    order = list(trainer._get_train_sampler())
    labels = np.array(several_splits["train"]["labels"][:])[order] > 0
    for start in range(0, len(labels) - 15, 16):
        batch = labels[start : start + 16]
        assert (batch & (batch.sum(axis=0) > 1)).any(axis=1).sum() >= batch.any(axis=1).sum() - 1


def test_a_stream_is_balanced_and_trained_on(make, several_splits, bert):
    stream = several_splits["train"].to_iterable_dataset()
    with pytest.raises(ValueError, match=r"eval_dataset has several labels per text, .* write problem_type='multi_"):
        make(train=stream, objective="scl", max_steps=2)
    bert.config.problem_type = "multi_label_classification"
    make(train=stream, objective="scl", max_steps=2).train()
    rows = list(balance_stream(several_splits["train"], 8))
    assert len(rows) == len(several_splits["train"])


def test_balanced_weights_are_those_of_the_texts_without_a_label(make, several_splits):
    labels = np.array(several_splits["train"]["labels"][:])
    weights = make(class_weights="balanced").make_objective().class_weights
    expected = (len(labels) - labels.sum(axis=0)) / labels.sum(axis=0)
    assert weights.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_thresholds_are_folded_into_a_classifier_with_an_adapter(make, several_splits):
    trainer = make(objective="scl", peft_config=LoraConfig(r=2, target_modules=["query"]), max_steps=1)
    trainer.train()
    predicted = trainer.predict(several_splits["validation"])
    found = fold_cuts(trainer.model.native, predicted.predictions, predicted.label_ids)
    trainer.save_model()
    plain = AutoModelForSequenceClassification.from_pretrained(trainer.args.output_dir)
    assert plain.config.folded_thresholds == found["thresholds"]
    after = trainer.predict(several_splits["validation"]).predictions
    np.testing.assert_allclose(after, predicted.predictions - found["cuts"], atol=1e-5)


def test_the_start_is_a_regression_of_each_class_against_the_rest(make, several_splits):
    model = make().model.eval()
    rows = several_splits["train"].select(range(40))
    batch = make().data_collator([{name: row[name] for name in ("input_ids", "labels")} for row in rows])
    batch = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    batch["labels"][:, 3] = 0
    fit_head(model, [batch])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    features = head_inputs(model, find_head(model, inputs).output, inputs).double().numpy()
    scaled = features - features.mean(axis=0)
    scaled /= np.sqrt(np.square(scaled).sum(axis=1).mean())
    logits = model(**inputs).logits.detach().numpy()
    for index in range(3):
        expected = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(scaled, batch["labels"][:, index].numpy())
        np.testing.assert_allclose(logits[:, index], expected.decision_function(scaled), atol=1e-3)
    assert (logits[:, 3] < -5).all()


def test_lists_of_names_are_encoded_by_the_trainer(tokenizer, bert, tmp_path):
    rows = {"text": ["late again", "won a medal", "late party", "cake"], "label": [["a"], ["b"], ["a", "b"], []]}
    bert.num_labels = bert.config.num_labels = 2
    bert.classifier = torch.nn.Linear(32, 2)
    args = ContrastiveTrainingArguments(str(tmp_path / "out"), use_cpu=True, max_steps=1)
    trainer = ContrastiveTrainer(bert, args, train_dataset=Dataset.from_dict(rows), processing_class=tokenizer)
    assert trainer.model.config.id2label == {0: "a", 1: "b"}
    assert trainer.model.config.has_several_labels
