"""A trainer on raw texts encodes labels and tokenises itself."""

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments


@pytest.fixture(scope="module")
def tickets(raw_splits) -> dict[str, Dataset]:
    """Texts and class names in columns with unusual names."""
    return {
        name: split.rename_columns({"text": "Body", "label": "Queue"}).add_column("Id", range(len(split)))
        for name, split in raw_splits.items()
    }


@pytest.fixture
def train_on(start, tmp_path):
    """Makes a trainer of an encoder by name; keyword arguments are those of the trainer."""

    def make(train, model=start["model_name_or_path"], **kwargs):
        args = ContrastiveTrainingArguments(
            str(tmp_path / "out"),
            max_steps=2,
            learning_rate=1e-3,
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
            report_to=[],
        )
        kwargs = {"text_column": "Body", "label_column": "Queue"} | kwargs
        return ContrastiveTrainer(model, args, train_dataset=train, **kwargs)

    return make


def frame(split: Dataset) -> pd.DataFrame:
    """A data frame with some rows dropped and a categorical column."""
    rows = split.to_pandas()
    return pd.concat([rows.iloc[:1], rows]).iloc[1:].astype({"Queue": "category"})


def polars_frame(split: Dataset):
    return pytest.importorskip("polars").DataFrame(split.to_list())


FORMS = {
    "dataset": lambda split: split,
    "pandas": frame,
    "polars": polars_frame,
    "rows": lambda split: split.to_list(),
    "columns": lambda split: split.to_dict(),
    "arrow": lambda split: split.data.table,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(train_on, tickets, splits, form):
    trainer = train_on(FORMS[form](tickets["train"]))
    train = trainer.train_dataset
    assert train["input_ids"][:] == splits["train"]["input_ids"][:]
    assert train["labels"][:] == splits["train"]["labels"][:]
    assert trainer.model.config.id2label == {0: "angry", 1: "annoyed", 2: "glad", 3: "proud"}


def test_from_texts_to_a_classifier_and_to_predictions(train_on, tickets, tmp_path):
    trainer = train_on(tickets["train"], eval_dataset=frame(tickets["validation"]))
    trainer.train()
    assert {"eval_accuracy", "eval_macro_f1"} <= trainer.evaluate().keys()
    texts = tickets["test"]["Body"][:]
    predicted = trainer.predict(texts)
    assert predicted.label_ids is None
    labelled = trainer.predict(tickets["test"].to_list())
    np.testing.assert_array_equal(labelled.predictions, predicted.predictions)
    names = [trainer.model.config.id2label[label] for label in labelled.label_ids]
    assert names == tickets["test"]["Queue"][:]
    assert {"eval_a_accuracy", "eval_b_accuracy"} <= trainer.evaluate(
        {"a": tickets["test"], "b": frame(tickets["test"])}
    ).keys()
    trainer.save_model()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert model.config.label2id["proud"] == 3
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_a_trainer_of_token_ids_predicts_texts_and_measures_frames(make_trainer, splits, raw_splits):
    trainer = make_trainer(objective="ce")
    expected = trainer.predict(splits["test"])
    np.testing.assert_array_equal(trainer.predict(raw_splits["test"]["text"][:]).predictions, expected.predictions)
    # Without the first class: the ids of the others must not change.
    some = raw_splits["test"].filter(lambda row: row["label"] != "angry").to_pandas()
    found = trainer.predict(some)
    assert set(found.label_ids) == {1, 2, 3}


def test_metrics_of_ones_own_stay(train_on, tickets):
    assert train_on(tickets["train"], compute_metrics=len).compute_metrics is len
    assert train_on(tickets["train"], compute_metrics=None).compute_metrics is None


def test_the_names_of_a_model_count(train_on, tickets, plain):
    model = AutoModelForSequenceClassification.from_pretrained(plain)
    some = tickets["train"].filter(lambda row: row["Queue"] != "angry")
    assert set(train_on(some, model=model).train_dataset["labels"]) == {1, 2, 3}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text_column": "body"}, r"no column 'body'; .*'Id'\. Did you mean Body\? Name it: text_column='...'\."),
        ({"text_column": None}, r"no column 'text'; .* Name it: text_column"),
        ({"label_column": "Queues"}, r"train data has no column 'Queues'.* Did you mean Queue\? .*label_column='...'"),
    ],
)
def test_a_column_that_is_missing(train_on, tickets, columns, message):
    with pytest.raises(ValueError, match=message):
        train_on(tickets["train"], **columns)


def test_a_label_that_no_training_text_has(train_on, tickets):
    other = tickets["validation"].map(lambda row: {"Queue": row["Queue"].replace("proud", "prod")})
    with pytest.raises(ValueError, match=r"The evaluation split, row \d+: label 'prod'.* Did you mean proud\?$"):
        train_on(tickets["train"], eval_dataset=other)


def test_all_splits_at_once_or_no_tokenizer(train_on, tickets, bert):
    with pytest.raises(ValueError, match=r"train_dataset holds 'train', 'validation', 'test': give one"):
        train_on(tickets)
    with pytest.raises(ValueError, match="No tokenizer can be loaded from a model without a name: pass processing_cl"):
        train_on(tickets["train"], model=bert)
