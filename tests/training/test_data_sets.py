"""The data sets of a trainer, without a trainer."""

import pytest
from datasets import Dataset

from hf_lcl import ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.training.data_sets import DataSets
from hf_lcl.training.raw_rows import RawRows


@pytest.fixture
def data_sets(splits) -> DataSets:
    return DataSets(RawRows(None, None, None, None), splits["train"], splits["validation"])


def test_both_may_be_replaced_by_what_fits_the_model(data_sets, splits, bert, tmp_path):
    model, args = LCLForSequenceClassification.from_native(bert), ContrastiveTrainingArguments(str(tmp_path))
    model.set_class_names(data_sets.training.names)
    data_sets.set_training(splits["test"], model, args)
    data_sets.set_evaluation({"first": splits["train"]}, model)
    assert data_sets.training.dataset is splits["test"]
    assert data_sets.evaluation == {"first": splits["train"]}


def test_what_does_not_fit_replaces_nothing(data_sets, splits, bert, tmp_path):
    model, args = LCLForSequenceClassification.from_native(bert), ContrastiveTrainingArguments(str(tmp_path))
    ninth = Dataset.from_dict({"input_ids": [[2, 5, 3], [2, 6, 3]], "labels": [0, 9]})
    with pytest.raises(ValueError, match="train_dataset"):
        data_sets.set_training(ninth, model, args)
    with pytest.raises(ValueError, match="eval_dataset"):
        data_sets.set_evaluation(ninth, model)
    assert data_sets.training.dataset is splits["train"]
    assert data_sets.evaluation is splits["validation"]


def test_without_a_model_nothing_is_compared_with_it(data_sets, splits, tmp_path):
    data_sets.set_training(splits["test"], None, ContrastiveTrainingArguments(str(tmp_path)))
    data_sets.set_evaluation(splits["test"], None)
    assert data_sets.training.dataset is data_sets.evaluation is splits["test"]
