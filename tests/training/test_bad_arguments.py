"""Unusable input is refused early, with messages that say what to do."""

import os
import re
import subprocess
import sys

import pytest
import torch
from transformers import TrainingArguments

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.commands.exits import UsageError
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.support.removed import REMOVED_ARGUMENTS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "mse"}, "objective='mse' is unknown: use one of 'ce', 'scl', 'lcl'"),
        ({"sampler": "sorted"}, "sampler='sorted' is unknown: use one of 'auto', 'balanced', 'random'"),
        ({"alpha": 1.5}, r"alpha=1.5 must be a number in \[0, 1\]"),
        ({"alpha": -0.1}, r"alpha=-0.1 must be a number in \[0, 1\]"),
        ({"alpha": "0.5"}, r"alpha='0.5' must be a number in \[0, 1\]"),
        ({"temperature": 0.0}, "temperature=0.0 must be a positive, finite number"),
        ({"temperature": -1.0}, "temperature=-1.0 must be a positive, finite number"),
        ({"temperature": float("nan")}, "temperature=nan must be a positive, finite number"),
        ({"temperature": "0.3"}, "temperature='0.3' must be a positive, finite number"),
        ({"temperature": None}, "temperature=None must be a positive, finite number"),
        ({"samples_per_class": 1}, "samples_per_class=1 leaves anchors without positives"),
        ({"view": "synonyms", "num_views": 2}, "view='synonyms' is unknown: use one of 'dropout', 'column'"),
        ({"view": "column"}, "view='column' is one second view, not num_views=1: set num_views=2"),
        ({"num_views": 0}, "num_views=0 must be at least 1"),
        ({"view": "column", "num_views": 3}, "one second view, not num_views=3"),
        (
            {"num_views": 2, "objective": "ce"},
            "of no use to objective='ce', which counts .* leave it out",
        ),
        ({"class_weights": "heavy"}, "class_weights='heavy' must be 'balanced' or one positive number per class"),
        ({"class_weights": [1.0, -1.0]}, "must be 'balanced' or one positive number per class"),
    ],
)
def test_values_out_of_range(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ContrastiveTrainingArguments(str(tmp_path), **settings)


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="is a file: name a folder"):
        ContrastiveTrainingArguments(str(tmp_path / "out"))


@pytest.mark.slow
def test_processes_that_would_train_alone(tmp_path):
    script = "import sys; from hf_lcl import ContrastiveTrainingArguments; ContrastiveTrainingArguments(sys.argv[1])"
    (tmp_path / "script.py").write_text(script)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    ended = subprocess.run(
        [*torchrun, str(tmp_path / "script.py"), str(tmp_path / "out")],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert re.search("ValueError: There are 2 processes, but no device for each.* set use_cpu=True", ended.stderr)


def test_plain_training_arguments(bert, tmp_path):
    with pytest.raises(TypeError, match="use ContrastiveTrainingArguments"):
        ContrastiveTrainer(model=bert, args=TrainingArguments(str(tmp_path)))


def test_a_loss_function_beside_the_objective(bert, tmp_path):
    with pytest.raises(ValueError, match="would replace the objective"):
        ContrastiveTrainer(
            model=bert, args=ContrastiveTrainingArguments(str(tmp_path)), compute_loss_func=lambda *_: 0.0
        )


def test_a_model_that_is_no_classifier(make_trainer, bert):
    with pytest.raises(TypeError, match="got BertModel"):
        make_trainer(bert.bert)


def test_lcl_without_a_weighting_network(make_trainer):
    with pytest.raises(ValueError, match='objective="lcl" needs a weighting network'):
        make_trainer(objective="lcl", weighting="none")


def test_a_label_that_the_model_has_no_class_for(make_trainer, splits, bert_config):
    from transformers import BertForSequenceClassification

    bert_config.num_labels = 3
    train = splits["train"].cast_column("labels", splits["train"].features["labels"].__class__(num_classes=4))
    with pytest.raises(ValueError, match="holds label 3, but the model has num_labels=3"):
        make_trainer(BertForSequenceClassification(bert_config), train=train)


def test_more_classes_in_the_model_than_the_data_names(make_trainer, bert_config):
    from transformers import BertForSequenceClassification

    bert_config.num_labels = 5
    with pytest.raises(ValueError, match="train_dataset names 4 classes, but the model has num_labels=5"):
        make_trainer(BertForSequenceClassification(bert_config))


def test_rows_without_texts_or_token_ids(make_trainer, raw_splits):
    with pytest.raises(ValueError, match="train data has no column 'text'; its columns are 'label'"):
        make_trainer(train=raw_splits["train"].select_columns("label"))


def test_a_single_class(make_trainer, splits):
    with pytest.raises(ValueError, match="has a single class"):
        make_trainer(train=splits["train"].filter(lambda row: row["labels"] == 1))


def test_several_labels_in_a_row(make_trainer, splits):
    train = splits["train"].remove_columns("labels").add_column("labels", [[1, 1]] * len(splits["train"]))
    with pytest.raises(ValueError, match="rows of 2 labels, but the model has num_labels=4"):
        make_trainer(train=train)


def test_float_labels(make_trainer, splits):
    train = splits["train"].remove_columns("labels").add_column("labels", [0.5] * len(splits["train"]))
    with pytest.raises(ValueError, match=r"holds float32 values, for example 0.5: class ids must be integers"):
        make_trainer(train=train)


def test_a_model_of_another_problem(make_trainer, bert):
    bert.config.problem_type = "multi_label_classification"
    with pytest.raises(ValueError, match="one label per text, but the model's problem_type is 'multi_label"):
        make_trainer(bert)
    bert.config.problem_type = "regression"
    with pytest.raises(ValueError, match="a classifier is needed"):
        make_trainer(bert)


def test_class_weights_of_another_length(make_trainer):
    with pytest.raises(ValueError, match="class_weights has 3 numbers for 4 classes"):
        make_trainer(class_weights=[1.0, 2.0, 3.0])


def test_a_batch_of_one_warns_once_and_trains(make_trainer, caplog):
    trainer = make_trainer(objective="lcl", per_device_train_batch_size=1, max_steps=2)
    trainer.train()
    warnings = [record for record in caplog.records if "has a positive" in record.getMessage()]
    assert len(warnings) == 1
    assert "Use sampler='balanced', or a larger per_device_train_batch_size" in warnings[0].getMessage()
    assert all(torch.isfinite(tensor).all() for tensor in trainer.model.state_dict().values())


def test_the_wrapper_of_a_regression_model(make_trainer, bert_config):
    from transformers import BertForSequenceClassification

    bert_config.problem_type, bert_config.num_labels = "regression", 1
    with pytest.raises(ValueError, match="regression"):
        make_trainer(LCLForSequenceClassification.from_native(BertForSequenceClassification(bert_config)))


@pytest.mark.parametrize(
    ("settings", "is_better"),
    [
        ({"metric_for_best_model": "loss_ce"}, False),
        ({"metric_for_best_model": "eval_short_loss_weighting"}, False),
        ({"metric_for_best_model": "loss_contrastive", "greater_is_better": True}, True),
        ({"metric_for_best_model": "accuracy"}, True),
        ({}, None),
    ],
    ids=str,
)
def test_the_less_of_a_loss_the_better(settings, is_better):
    assert ContrastiveTrainingArguments("out", **settings).greater_is_better is is_better


@pytest.mark.parametrize("name", sorted(REMOVED_ARGUMENTS))
def test_an_argument_that_was_removed_says_what_to_write_instead(name):
    with pytest.raises(TypeError, match=f"^{name} was removed: "):
        ContrastiveTrainingArguments("out", **{name: 1})


def test_a_command_that_names_one_says_so_too(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("output_dir: out\nqueue_size: 1\n")
    for command in (
        ["--output_dir=out", "--queue_size=1"],
        ["--output_dir=out", "--queue-size", "1"],
        [str(settings)],
    ):
        with pytest.raises(UsageError, match=rf"^(The settings file {settings}: )?queue_size was removed: "):
            parse_arguments((ContrastiveTrainingArguments,), command)
