"""Two phases: the contrastive loss trains the encoder, then the classifier is fitted to it."""

import pytest
import torch


TWO_PHASES = {"objective": "scl", "alpha": 0.0, "head_start": False, "head_refit": True}


@pytest.mark.slow
def test_it_learns_a_separable_set(make_trainer):
    """In bf16; the classifier is fitted in fp32."""
    settings = {"num_train_epochs": 24, "learning_rate": 1e-2, "per_device_train_batch_size": 32}
    trainer = make_trainer(**TWO_PHASES, bf16=True, **settings)
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] > 0.9


def test_the_first_phase_does_not_touch_the_classifier_and_the_second_not_the_encoder(make_trainer, monkeypatch):
    trainer = make_trainer(**TWO_PHASES, max_steps=4)
    before = {name: tensor.clone() for name, tensor in trainer.model.native.state_dict().items()}
    between = {}
    fit = trainer.fit_classifier

    def remember_and_fit(**options):
        between.update({name: tensor.clone() for name, tensor in trainer.model.native.state_dict().items()})
        fit(**options)

    monkeypatch.setattr(trainer, "fit_classifier", remember_and_fit)
    trainer.train()
    after = trainer.model.native.state_dict()
    for name in before:
        is_head = name.startswith(("classifier", "bert.pooler"))
        assert torch.equal(before[name], between[name]) == is_head, name
        assert is_head or torch.equal(between[name], after[name]), name
    assert not torch.equal(between["classifier.weight"], after["classifier.weight"])


def test_the_second_phase_reads_each_text_once(make_trainer):
    trainer = make_trainer(**TWO_PHASES, max_steps=1, names_as_texts=False)
    rows = []
    trainer.model.native.bert.register_forward_hook(lambda _, args, output: rows.append(len(output[0])))
    trainer.train()
    # One batch of the first phase, and two more passes over the first batch of the second, to find the layers.
    assert sum(rows) - 16 <= len(trainer.train_dataset) + 4 * trainer.args.per_device_eval_batch_size
    assert sum(rows) - 16 >= len(trainer.train_dataset)


def test_what_is_saved_is_the_fitted_classifier(make_trainer, tmp_path):
    from transformers import AutoModelForSequenceClassification

    trainer = make_trainer(**TWO_PHASES, max_steps=4)
    trainer.train()
    trainer.save_model()
    loaded = AutoModelForSequenceClassification.from_pretrained(trainer.args.output_dir)
    assert torch.equal(loaded.classifier.weight, trainer.model.native.classifier.weight)
