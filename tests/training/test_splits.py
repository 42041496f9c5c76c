"""The data sets of a trainer are checked before the first step, and changes to them take effect."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, IterableDataset
from sklearn.utils.class_weight import compute_class_weight

from hf_lcl import ContrastiveTrainer, LCLForSequenceClassification
from hf_lcl.training.splits import TrainingSet, check_evaluation_set


NAMES = ["angry", "annoyed", "glad", "proud"]


def renamed(split, names):
    """The split with other class names for the same ids."""
    return split.cast_column("labels", ClassLabel(names=names))


def with_labels(split, labels):
    return split.remove_columns("labels").add_column("labels", labels)


# Faults in a data set, and the error messages.
FAULTS = [
    (lambda split: with_labels(split, [7] * len(split)), "holds label 7, but the model has num_labels=4"),
    (lambda split: with_labels(split, [-1] * len(split)), "holds label -1, but the model has num_labels=4"),
    (lambda split: with_labels(split, ["glad"] * len(split)), "'labels' holds .* class ids must be integers"),
    (lambda split: with_labels(split, [0.5] * len(split)), "class ids must be integers"),
    (lambda split: with_labels(split, [[0, 1]] * len(split)), "several labels per text, but"),
    (lambda split: renamed(split, NAMES[::-1]), "calls class 0 'proud', but the model learns it as 'angry'"),
    (lambda split: renamed(split, ["angry", "annoyed", "sad", "proud"]), "class 2 'sad'.*'glad'"),
    (lambda split: split.remove_columns("labels"), "no column 'labels' or 'label'"),
    (lambda split: [], "has no rows"),
    (lambda split: split.select([]), "has no rows"),
]


class Counted(torch.utils.data.IterableDataset):
    """A stream with a length."""

    def __iter__(self):
        return iter([{"input_ids": [1, 2], "labels": 0}])

    def __len__(self):
        return 1


@pytest.mark.parametrize("stream", [Counted(), IterableDataset.from_generator(lambda: iter(Counted()))])
def test_the_labels_of_a_stream_are_not_read(stream):
    assert TrainingSet(stream).labels is None


class TestEvaluationSets:
    """Faults that would otherwise show only after the first epoch, or never."""

    @pytest.mark.parametrize(("spoil", "message"), FAULTS)
    @pytest.mark.parametrize("is_part", [False, True])
    def test_are_refused_before_training(self, make_trainer, splits, spoil, message, is_part):
        trainer = make_trainer(objective="lcl")
        spoilt = spoil(splits["validation"])
        with pytest.raises(ValueError, match=message) as error:
            trainer.eval_dataset = {"good": splits["test"], "bad": spoilt} if is_part else spoilt
        assert ("eval_dataset['bad']" in str(error.value)) == is_part

    def test_are_looked_at_again_when_the_training_set_orders_the_classes_anew(self, make_trainer, splits):
        trainer = make_trainer(objective="scl", max_steps=1)
        trainer.train_dataset = renamed(splits["train"], NAMES[::-1])
        with pytest.raises(ValueError, match="eval_dataset calls class 0 'angry', but the model learns it as 'proud'"):
            trainer.train()

    def test_by_the_constructor_too(self, make_trainer, splits, bert, tokenizer):
        args = make_trainer(objective="ce").args
        for data in ({"model": bert}, {"model_init": lambda: bert}):
            with pytest.raises(ValueError, match="holds label 7"):
                ContrastiveTrainer(
                    args=args,
                    train_dataset=splits["train"],
                    eval_dataset=with_labels(splits["validation"], [7] * 24),
                    processing_class=tokenizer,
                    **data,
                )

    def test_a_stream_and_no_set_at_all_are_fine(self, make_trainer, splits, bert):
        trainer = make_trainer(objective="lcl")
        trainer.eval_dataset = splits["validation"].to_iterable_dataset()
        assert 0 <= trainer.evaluate()["eval_accuracy"] <= 1
        trainer.eval_dataset = None
        trainer.args.max_steps = 1
        trainer.train()
        assert trainer.state.global_step == 1

    def test_a_model_without_names_asks_for_none(self, bert_config, splits):
        check_evaluation_set(splits["validation"], bert_config, None)


class TestAnotherTrainingSet:
    """Active learning, a curriculum, folds: the next training uses the present rows of its data set."""

    @pytest.fixture
    def few(self, splits):
        return splits["train"].select([row for row, label in enumerate(splits["train"]["labels"]) if label < 2])

    def test_its_texts_are_drawn(self, make_trainer, splits, few):
        trainer = make_trainer(objective="lcl", num_train_epochs=1, train=few)
        trainer.train_dataset = splits["train"]
        trainer.train()
        assert trainer.state.global_step == 4
        seen = [label for batch in trainer.get_train_dataloader() for label in batch["labels"].tolist()]
        assert sorted(seen) == sorted(splits["train"]["labels"])

    def test_a_smaller_one_too(self, make_trainer, few):
        trainer = make_trainer(objective="lcl", num_train_epochs=1)
        trainer.train_dataset = few
        trainer.train()
        assert trainer.state.global_step == 2

    def test_rows_that_were_added_to_a_list(self, make_trainer, splits):
        rows = [splits["train"][row] for row in range(8)]
        trainer = make_trainer(objective="scl", num_train_epochs=1, train=rows, per_device_train_batch_size=8)
        rows += [splits["train"][row] for row in range(8, 64)]
        trainer.train()
        assert trainer.state.global_step == 8

    def test_class_weights_are_those_of_its_labels(self, make_trainer, splits):
        trainer = make_trainer(objective="ce", class_weights="balanced", per_device_eval_batch_size=64)
        assert trainer._data.training.balanced_weights(4) == [1.0] * 4
        unequal = [row for row, label in enumerate(splits["train"]["labels"]) if label < 3 or row % 2]
        trainer.train_dataset = splits["train"].select(unequal)
        labels = trainer.train_dataset["labels"][:]
        expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
        assert trainer._data.training.balanced_weights(4) == pytest.approx(expected.tolist())

    def test_what_cannot_be_trained_on_is_refused_when_it_is_set(self, make_trainer, splits):
        trainer = make_trainer(objective="lcl")
        with pytest.raises(ValueError, match="single class"):
            trainer.train_dataset = splits["train"].filter(lambda row: row["labels"] == 1)
        with pytest.raises(ValueError, match="train_dataset: Column 'labels' holds"):
            trainer.train_dataset = with_labels(splits["train"], [0.5] * 64)
        assert len(trainer.train_dataset) == 64


def test_a_class_without_texts_weighs_one():
    rows = [{"input_ids": [1], "labels": label} for label in (0, 0, 0, 2)]
    assert TrainingSet(rows).balanced_weights(3) == pytest.approx([4 / 6, 1.0, 2.0])


class TestArgumentsThatChangeAfterTheConstructor:
    """Changes take effect, or are refused."""

    def test_views_and_mini_batches(self, make_trainer):
        trainer = make_trainer(objective="scl", max_steps=1)
        trainer.args.num_views, trainer.args.mini_batch_size = 2, 4
        sizes = []
        trainer.model.native.register_forward_hook(lambda module, inputs, output: sizes.append(len(output.logits)))
        trainer.train()
        assert set(sizes) == {4}
        assert trainer.state.log_history[0]["candidates_per_anchor"] == 2 * 16 - 1

    def test_a_start(self, make_trainer):
        trainer = make_trainer(objective="ce", max_steps=1, names_as_texts=False)
        trainer.args.head_start = True
        trainer.train()
        assert trainer.model.config.start == ["head_start"]

    def test_a_batch_size(self, make_trainer):
        trainer = make_trainer(objective="scl", num_train_epochs=1)
        trainer.args.per_device_train_batch_size = 8
        trainer.train()
        assert trainer.state.global_step == 8

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("mini_batch_size", 999, "mini_batch_size=999 must be at most per_device_train_batch_size=16"),
            ("num_views", 0, "num_views=0 must be at least 1"),
            ("objective", "mse", "objective='mse' is unknown"),
            ("objective", "lcl", "needs a weighting network"),
            (
                "class_weights",
                [1.0, 2.0],
                "class_weights has 2 numbers for 4 classes: give one for each, in the order ",
            ),
            ("temperature", 0.0, "temperature=0.0 must be a positive, finite number"),
        ],
    )
    def test_what_cannot_be_done_is_refused(self, make_trainer, name, value, message):
        trainer = make_trainer(objective="scl", max_steps=1)
        setattr(trainer.args, name, value)
        with pytest.raises(ValueError, match=message):
            trainer.train()


def test_predictions_have_the_order_of_the_rows_however_batches_are_made(make_trainer, splits):
    lengths = list(map(len, splits["test"]["input_ids"]))
    assert lengths != sorted(lengths)
    trainer = make_trainer(objective="scl", max_steps=1, sampler="random", train_sampling_strategy="group_by_length")
    trainer.train()
    assert trainer.predict(splits["test"]).label_ids.tolist() == splits["test"]["labels"][:]
    alone = [trainer.predict(splits["test"].select([row])).predictions[0] for row in range(5)]
    np.testing.assert_allclose(trainer.predict(splits["test"]).predictions[:5], alone, atol=1e-5)


def test_columns_that_have_the_name_of_an_argument_do_not_act(make_trainer, splits):
    rows = len(splits["train"])
    train = splits["train"].add_column("label_ids", [3 - label for label in splits["train"]["labels"]])
    train = train.add_column("position_ids", list(range(rows))).add_column("inputs_embeds", [0.5] * rows)
    for kept in (True, False):
        trainer = make_trainer(objective="scl", train=train, max_steps=1, remove_unused_columns=kept)
        if not kept:
            trainer.train_dataset = train.remove_columns(["position_ids", "inputs_embeds"])
        for batch in trainer.get_train_dataloader():
            assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
        seen = [label for batch in trainer.get_train_dataloader() for label in batch["labels"].tolist()]
        assert sorted(seen) == sorted(train["labels"])


def test_an_optimizer_that_leaves_out_the_weighting_network_is_named(splits, bert, tokenizer, make_trainer, caplog):
    args = make_trainer(objective="lcl", max_steps=1).args

    def told(model, optimizer):
        caplog.clear()
        trainer = ContrastiveTrainer(
            model=model,
            args=args,
            train_dataset=splits["train"],
            processing_class=tokenizer,
            optimizers=(optimizer, None),
        )
        trainer.train()
        return [record.getMessage() for record in caplog.records if "The optimizer leaves out" in record.getMessage()]

    (line,) = told(bert, torch.optim.SGD(bert.parameters(), lr=0.1))
    assert "weighting_network" in line
    wrapped = LCLForSequenceClassification.from_native(bert)
    assert told(wrapped, torch.optim.SGD(wrapped.parameters(), lr=0.1)) == []


@pytest.mark.slow
def test_a_second_training_learns_with_the_settings_and_the_layers_of_its_own(make_trainer):
    trainer = make_trainer(objective="scl", max_steps=1, weight_decay=0.0)
    pooler = trainer.model.native.base_model.pooler.dense.weight
    before = pooler.detach().clone()
    trainer.model.native.base_model.requires_grad_(False)
    trainer.train()
    assert torch.equal(pooler, before)
    trainer.model.native.base_model.requires_grad_(True)
    trainer.train()
    assert not torch.equal(pooler, before)
    before = pooler.detach().clone()
    trainer.args.learning_rate = 0.0
    trainer.train()
    assert torch.equal(pooler, before)


def test_an_optimizer_of_the_user_is_kept_and_looked_at_when_training_begins(make_trainer, caplog):
    trainer = make_trainer(objective="lcl", max_steps=1)
    optimizer = trainer.optimizer = torch.optim.SGD(trainer.model.native.parameters(), lr=0.1)
    for _ in range(2):
        caplog.clear()
        trainer.train()
        assert "The optimizer leaves out 4 parameters of the model" in caplog.text
        assert trainer.optimizer.optimizer is optimizer


def test_a_training_whose_classifier_cannot_be_refitted_keeps_what_it_learned(make_trainer, caplog):
    trainer = make_trainer(objective="scl", max_steps=1, head_refit=True)
    trainer.model.native.classifier.requires_grad_(False)
    assert trainer.train().global_step == 1
    assert "The classifier is not fitted at the end. The last layer of the classifier is frozen" in caplog.text


class TestNamesOfAFinishedClassifier:
    """A model whose class names differ from those of the training set."""

    def test_those_that_both_know_keep_their_rows(self, bert, make_trainer, splits):
        rows = bert.classifier.weight.detach().clone()
        bert.config.id2label = dict(enumerate(["proud", "glad", "sad", "angry"]))
        trainer = make_trainer(bert, objective="scl", max_steps=1)
        assert list(trainer.model.config.id2label.values()) == NAMES
        assert torch.equal(trainer.model.native.classifier.weight, rows[[3, 2, 1, 0]])

    def test_where_none_is_shared_it_is_said(self, bert, make_trainer, caplog):
        bert.config.id2label = dict(enumerate("abcd"))
        trainer = make_trainer(bert, objective="scl")
        assert list(trainer.model.config.id2label.values()) == list("abcd")
        assert "'a' is trained on the texts of 'angry', 'b' on those of 'annoyed'" in caplog.text


@pytest.mark.parametrize("found", [8, 2])
def test_a_batch_that_was_made_smaller_holds_fewer_texts_of_a_class(make_trainer, found):
    trainer = make_trainer(objective="scl", samples_per_class=8, auto_find_batch_size=True)
    trainer._train_batch_size = found  # as the Trainer does after each attempt
    for batch in trainer.get_train_dataloader():
        counts = batch["labels"].unique(return_counts=True)[1]
        assert len(batch["labels"]) == found
        if found == 8:
            assert counts.tolist() == [4, 4]


def test_streams_are_balanced_in_the_smaller_batch_too(make_trainer, splits):
    stream = splits["train"].shuffle(seed=0).to_iterable_dataset()
    trainer = make_trainer(objective="scl", samples_per_class=8, train=stream, max_steps=4)
    trainer.args.auto_find_batch_size, trainer._train_batch_size = True, 8
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["labels"].unique(return_counts=True)[1].tolist() == [4, 4]


def test_a_list_of_rows_is_a_training_set_too():
    with pytest.raises(ValueError, match="columns text, labels but no token ids"):
        TrainingSet([{"text": "a", "labels": 0}, {"text": "b", "labels": 1}])
    with pytest.raises(ValueError, match=r"row 0 holds \[0\]: several labels per text are rows of 0 and 1"):
        TrainingSet(Dataset.from_dict({"input_ids": [[1], [2]], "labels": [[0], [1, 0]]}))
