"""Training with several views of each text."""

import logging

import pytest
import torch
from torch.nn import functional
from transformers import BertForSequenceClassification

from hf_lcl import LCLForSequenceClassification, label_aware_contrastive_loss, tokenize_texts


# Settings with which the tiny classifier learns the classes of the test data.
FAST = {"max_steps": 50, "learning_rate": 1e-2, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 10}


@pytest.fixture
def still(bert):
    """A classifier without dropout: its outputs do not depend on the random state."""
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return LCLForSequenceClassification.from_native(bert)


@pytest.fixture
def with_second_view(request, splits, several_splits, tokenizer):
    """Training rows whose second view is another text; with both kinds of labels in tests that use `several`."""
    has_several = "several" in request.fixturenames and request.getfixturevalue("several")
    train = (several_splits if has_several else splits)["train"]
    train = train.add_column("paraphrase", train["text"][::-1])
    return tokenize_texts({"train": train}, tokenizer, view_column="paraphrase")["train"]


def gradients(trainer) -> dict[str, torch.Tensor]:
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    trainer.training_step(trainer.model, next(iter(trainer.get_train_dataloader())))
    return {name: parameter.grad.clone() for name, parameter in trainer.model.named_parameters()}


@pytest.mark.parametrize("num_views", [2, 3])
def test_every_text_has_its_views_as_positives(num_views, make_trainer):
    trainer = make_trainer(num_views=num_views, sampler="random", max_steps=2)
    trainer.train()
    for line in trainer.state.log_history[:2]:
        assert line["valid_anchors"] == 1
        assert line["positives_per_anchor"] >= num_views - 1
        assert line["candidates_per_anchor"] == 16 * num_views - 1


@pytest.mark.slow
@pytest.mark.parametrize("view", ["dropout", "column"])
def test_separable_classes_are_learned_from_every_kind_of_view(view, make_trainer, splits, tokenizer):
    train = tokenize_texts({"train": splits["train"]}, tokenizer, view_function=lambda text: text.split(" ", 1)[-1])
    trainer = make_trainer(train=train["train"], num_views=2, view=view, **FAST)
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] >= 0.9


def test_a_resumed_run_draws_the_same_views(make_trainer, bert_config):
    def model():
        torch.manual_seed(0)
        return LCLForSequenceClassification.from_native(BertForSequenceClassification(bert_config))

    settings = {"num_views": 2, "max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    whole = make_trainer(model(), **settings)
    whole.train()
    resumed = make_trainer(model(), **settings)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-1")
    for name, parameter in resumed.model.named_parameters():
        assert torch.equal(parameter, whole.model.get_parameter(name)), name


def test_a_step_is_that_of_a_batch_that_holds_both_views(make_trainer, still, several, with_second_view, tokenizer):
    trainer = make_trainer(still, train=with_second_view, num_views=2, view="column", several=several)
    batch = next(iter(trainer.get_train_dataloader()))
    found = gradients(trainer)

    texts = [
        tokenizer.decode(ids, skip_special_tokens=True) for name in ("", "view_") for ids in batch[f"{name}input_ids"]
    ]
    labels = torch.cat([batch["labels"]] * 2)
    still.zero_grad()
    out = still(**tokenizer(texts, padding=True, return_tensors="pt"))
    loss = 0.5 * label_aware_contrastive_loss(out.embeddings, labels, out.weighting_logits)
    for logits in (out.logits, out.weighting_logits):
        cross_entropy = functional.binary_cross_entropy_with_logits if several else functional.cross_entropy
        loss = loss + 0.5 * cross_entropy(logits[:16], labels[:16])
    loss.backward()
    for name, parameter in still.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, msg=name)


def test_views_in_mini_batches_have_the_gradients_of_the_whole_batch(make_trainer, still, several, with_second_view):
    settings = {"train": with_second_view, "num_views": 2, "view": "column", "seed": 1, "several": several}
    whole, cached = (
        gradients(make_trainer(still, mini_batch_size=size, **settings))
        for size in (None, 5)
        if still.zero_grad() is None and torch.manual_seed(0)
    )
    for name in whole:
        torch.testing.assert_close(cached[name], whole[name], rtol=1e-4, atol=1e-6, msg=name)


def test_an_evaluation_looks_at_the_texts_alone(make_trainer, with_second_view):
    trainer = make_trainer(train=with_second_view, num_views=2, view="column")
    with_views = trainer.evaluate(with_second_view)
    without = trainer.evaluate(
        with_second_view.remove_columns([name for name in with_second_view.column_names if name.startswith("view_")])
    )
    for name in ("eval_loss", "eval_loss_ce", "eval_accuracy", "eval_candidates_per_anchor"):
        assert with_views[name] == pytest.approx(without[name], rel=1e-5)


def test_columns_of_a_view_that_is_not_asked_for_do_no_harm(make_trainer, with_second_view):
    make_trainer(train=with_second_view, max_steps=1).train()
    make_trainer(train=with_second_view, max_steps=1, remove_unused_columns=False, num_views=2).train()


def test_a_training_set_without_the_column_says_how_to_write_it(make_trainer):
    with pytest.raises(ValueError, match="view_column='paraphrase'"):
        make_trainer(num_views=2, view="column").train()


@pytest.mark.parametrize("sampler", ["auto", "balanced"])
def test_one_text_per_class_is_enough_with_views(make_trainer, splits, sampler):
    firsts = [splits["train"]["labels"].index(label) for label in range(4)]
    trainer = make_trainer(
        train=splits["train"].select(firsts), num_views=2, sampler=sampler, per_device_train_batch_size=4, max_steps=1
    )
    trainer.train()
    assert trainer.state.log_history[0]["valid_anchors"] == 1


@pytest.mark.parametrize(("rate", "is_told"), [(0.0, True), (0.1, False)])
def test_equal_views_are_told(make_trainer, bert_config, caplog, rate, is_told):
    logging.Logger.warning_once.cache_clear()  # it warns once per process, and other tests may have triggered it
    bert_config.hidden_dropout_prob = bert_config.attention_probs_dropout_prob = rate
    model = LCLForSequenceClassification.from_native(BertForSequenceClassification(bert_config))
    with caplog.at_level("WARNING", "hf_lcl"):
        make_trainer(model, num_views=2)
    assert ("use view='column' with a second view of your own" in caplog.text) == is_told
