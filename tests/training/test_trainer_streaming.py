"""Training on a stream: balanced from a buffer, in one process or two, and resumed exactly."""

import copy
import json
from collections import Counter
from itertools import chain

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, IterableDatasetDict, Value
from streaming_process import as_stream, keys, taken_batches

from hf_lcl import ContrastiveTrainingArguments, encode_labels, tokenize_texts
from hf_lcl.data import balance_stream


# Settings with which the tiny classifier learns the classes of the test data.
FAST = {"max_steps": 50, "learning_rate": 1e-2, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 10}


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ce", "lcl"])
def test_every_objective_learns_from_a_stream(make_trainer, splits, objective):
    trainer = make_trainer(train=as_stream(splits["train"]), objective=objective, **FAST)
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] >= 0.8


def test_a_stream_that_is_tokenised_as_it_is_read_is_trained_on(make_trainer, raw_splits, tokenizer):
    names = sorted(set(raw_splits["train"]["label"]))
    stream = as_stream(raw_splits["train"]).map(lambda row: {"labels": names.index(row["label"])})
    train = tokenize_texts(IterableDatasetDict(train=stream), tokenizer)["train"]
    assert train.column_names is None
    trainer = make_trainer(train=train, objective="scl", **FAST)
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] >= 0.8


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_positives_and_every_text_comes_once_per_pass(make_trainer, splits, workers):
    train = as_stream(splits["train"])  # one shard, of 64 texts
    trainer = make_trainer(train=train, objective="scl", max_steps=8, dataloader_num_workers=workers)
    batches = taken_batches(trainer)
    trainer.train()
    assert len(batches) == 8
    for batch in batches:
        assert min(Counter(label for label, _ in batch).values()) >= 2
    for one_pass in (batches[:4], batches[4:]):
        assert sorted(chain(*one_pass)) == sorted(keys(splits["train"][:]))
    assert batches[:4] != batches[4:]


def test_cross_entropy_takes_a_stream_in_its_own_order(make_trainer, splits):
    trainer = make_trainer(train=as_stream(splits["train"]), objective="ce", max_steps=4)
    batches = taken_batches(trainer)
    trainer.train()
    assert list(chain(*batches)) == keys(splits["train"][:])


@pytest.mark.slow
def test_data_seed_decides_the_order(make_trainer, splits):
    orders = []
    for settings in ({"data_seed": 5}, {"data_seed": 5, "seed": 1}, {"data_seed": 6}):
        trainer = make_trainer(train=as_stream(splits["train"]), objective="scl", max_steps=4, **settings)
        orders.append(taken_batches(trainer))
        trainer.train()
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_run_ends_in_the_same_weights(make_trainer, splits, tmp_path, bert, workers):
    settings = {
        "objective": "lcl",
        "train": as_stream(splits["train"]),
        "max_steps": 7,
        "save_strategy": "steps",
        "save_steps": 1,
        "dataloader_num_workers": workers,
    }
    whole = make_trainer(copy.deepcopy(bert), folder="whole", **settings)
    expected = taken_batches(whole)
    whole.train()
    weights = dict(whole.model.named_parameters())
    for step in (3, 4, 6):  # in the first pass of four batches, at its end, in the second
        resumed = make_trainer(copy.deepcopy(bert), folder=f"resumed-{step}", **settings)
        batches = taken_batches(resumed)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert batches == expected[step:]
        assert all(torch.equal(tensor, weights[name]) for name, tensor in resumed.model.named_parameters())


def test_a_stream_of_ones_own_buffer_is_taken_as_it_is(make_trainer, splits):
    train = balance_stream(as_stream(splits["train"]), batch_size=16, buffer_size=32, seed=7)
    trainer = make_trainer(train=train, objective="scl", max_steps=4)
    batches = taken_batches(trainer)
    trainer.train()
    assert list(chain(*batches)) == [keys([row])[0] for row in train]


def test_a_stream_is_evaluated(make_trainer, splits):
    trainer = make_trainer(objective="scl")
    metrics = [trainer.evaluate(data) for data in (splits["validation"], as_stream(splits["validation"]))]
    for name in ("eval_loss", "eval_accuracy", "eval_macro_f1", "eval_loss_contrastive"):
        assert metrics[0][name] == metrics[1][name]


def test_a_model_by_name_takes_its_classes_from_the_names_of_a_stream(make_trainer, splits, encoder_folder):
    trainer = make_trainer(str(encoder_folder), train=as_stream(splits["train"]), objective="scl", max_steps=1)
    assert trainer.model.config.id2label == dict(enumerate(splits["train"].features["labels"].names))


@pytest.mark.slow
def test_two_processes_share_the_batches_of_one(make_trainer, splits, two_processes):
    expected = {}
    for objective in ("scl", "ce"):
        alone = make_trainer(
            train=as_stream(splits["train"]), objective=objective, max_steps=16, per_device_train_batch_size=8
        )
        expected[objective] = taken_batches(alone)
        alone.train()
    for rank, process in enumerate(two_processes):
        taken = process["batches"]
        mine, in_order = json.loads(json.dumps([expected[objective][rank::2] for objective in ("scl", "ce")]))
        assert taken["whole"] == mine
        assert taken["resumed"] == mine[5:]
        assert taken["ce"] == in_order


# What a stream does not allow


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": "balanced"}, "class_weights='balanced' needs the whole training set"),
        ({"train_sampling_strategy": "group_by_length"}, "'group_by_length' needs the whole training set"),
        ({"head_refit": True}, "head_refit=True needs the whole training set"),
        ({"eval_strategy": "epoch"}, "eval_strategy='epoch'.*use eval_strategy='steps'"),
        ({"save_strategy": "epoch"}, "save_strategy='epoch'.*use save_strategy='steps'"),
        ({"logging_strategy": "epoch"}, "logging_strategy='epoch'.*use logging_strategy='steps'"),
        ({"max_steps": -1}, "max_steps has to be specified"),
    ],
)
def test_settings_that_need_the_whole_training_set(make_trainer, splits, settings, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(train=as_stream(splits["train"]), **{"objective": "scl", "max_steps": 4} | settings)


def test_several_processes_are_told_how_each_reads_the_stream(make_trainer, splits, monkeypatch):
    monkeypatch.setattr(ContrastiveTrainingArguments, "world_size", 2)  # without a second process
    with pytest.raises(ValueError, match=r"write accelerator_config=\{'dispatch_batches': False\}"):
        make_trainer(train=as_stream(splits["train"]), objective="scl", max_steps=4)


def test_a_model_by_name_and_a_stream_without_names(make_trainer, splits, encoder_folder):
    train = splits["train"].cast_column("labels", Value("int64"))
    with pytest.raises(
        ValueError, match=r"a stream without names: write .*from_encoder\('.*encoder', num_labels=\.\.\.\)"
    ):
        make_trainer(str(encoder_folder), train=as_stream(train), objective="scl", max_steps=1)


def test_a_stream_of_texts_that_were_not_tokenised(make_trainer, raw_splits):
    with pytest.raises(ValueError, match="columns text, label but no token ids"):
        make_trainer(train=as_stream(raw_splits["train"]), max_steps=1)


def test_a_label_that_the_model_has_no_class_for(make_trainer, splits):
    train = splits["train"].cast_column("labels", ClassLabel(num_classes=5)).map(lambda row: {"labels": 4})
    trainer = make_trainer(
        train=as_stream(Dataset.from_list(train.to_list())),
        objective="scl",
        max_steps=1,
        per_device_train_batch_size=8,
    )
    with pytest.raises(ValueError, match="holds label 4, but the model has num_labels=4"):
        trainer.train()


def test_an_order_for_batches_of_another_size(make_trainer, splits):
    train = balance_stream(as_stream(splits["train"]), batch_size=8, buffer_size=32)
    with pytest.raises(ValueError, match=r"batches of 8, but a batch has 16 texts: .*batch_size=16\)"):
        make_trainer(train=train, objective="scl", max_steps=1)


def test_labels_of_a_stream_cannot_be_looked_through(raw_splits):
    splits, names = (
        IterableDatasetDict(train=as_stream(raw_splits["train"])),
        sorted(set(raw_splits["train"]["label"])),
    )
    with pytest.raises(ValueError, match=r"splits.map\(lambda row: .*names.index\(row\['label'\]\)") as error:
        encode_labels(splits)
    written = str(error.value).split("write ")[1].split(", with names")[0]
    encoded = eval(written, {"splits": splits, "names": names})
    expected = encode_labels(DatasetDict(train=raw_splits["train"]))[0]["train"]["labels"][:]
    assert [row["labels"] for row in encoded["train"]] == expected
