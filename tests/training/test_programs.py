"""What programs do with a Trainer beside calling it: other data, collators, dataloaders and losses of their own."""

import copy
import math

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value
from peft import LoraConfig
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from transformers import AutoModelForSequenceClassification, TrainerState, default_data_collator

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.training.learned import StopWhenLearned


STARTED = {"objective": "scl", "head_start": True, "max_steps": 2}


class TestLabelsOfOtherTexts:
    """Class ids are those of the model, whatever classes the texts have."""

    @pytest.fixture
    def trainer(self, splits, bert, tokenizer, tmp_path):
        bert.config.id2label = {index: f"LABEL_{index}" for index in range(4)}
        plain = splits["train"].cast_column("labels", Value("int64"))
        args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, objective="scl")
        held_out = [{"text": "late again", "label": 3}, {"text": "sunny", "label": 1}]
        return ContrastiveTrainer(bert, args, train_dataset=plain, eval_dataset=held_out, processing_class=tokenizer)

    def test_ids_are_not_numbered_anew(self, trainer):
        assert trainer.eval_dataset["labels"][:] == [3, 1]
        rows = [{"text": "a cake", "label": label} for label in (2, 0, 2)]
        assert trainer.predict(rows).label_ids.tolist() == [2, 0, 2]
        spelled = [{"text": "a cake", "label": f"LABEL_{label}"} for label in (3, 1)]
        assert trainer.predict(spelled).label_ids.tolist() == [3, 1]

    def test_names_that_the_model_does_not_know_are_refused(self, trainer):
        with pytest.raises(ValueError, match="label 'glad' does not occur in the classes of the model"):
            trainer.predict([{"text": "a cake", "label": "glad"}])


class TestFormsOfData:
    """The forms of the constructor, everywhere."""

    @pytest.fixture
    def trainer(self, start, raw_splits, tmp_path):
        args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, max_steps=1, report_to=[])
        return ContrastiveTrainer(start["model_name_or_path"], args, train_dataset=raw_splits["train"])

    def test_evaluation(self, trainer, raw_splits, tmp_path):
        expected = trainer.evaluate(raw_splits["test"])["eval_loss"]
        raw_splits["test"].to_json(tmp_path / "t.jsonl")
        forms = [raw_splits["test"].to_dict(), str(tmp_path / "t.jsonl"), raw_splits["test"].to_pandas()]
        forms.append(raw_splits["test"].rename_column("label", "labels"))
        for form in forms:
            assert trainer.evaluate(form)["eval_loss"] == pytest.approx(expected)
        trainer.eval_dataset = {"a": forms[0], "b": forms[2]}
        assert trainer.evaluate("b")["eval_loss"] == pytest.approx(expected)
        assert trainer.evaluate()["eval_b_loss"] == pytest.approx(expected)

    def test_texts_alone(self, trainer, raw_splits):
        texts = raw_splits["test"]["text"]
        expected = trainer.predict(texts[:]).predictions
        for form in (texts, np.array(texts[:]), raw_splits["test"].to_pandas()["text"]):
            np.testing.assert_array_equal(trainer.predict(form).predictions, expected)

    def test_texts_longer_than_the_model_where_the_tokenizer_knows_no_limit(self, start, tokenizer, bert, tmp_path):
        limitless = copy.deepcopy(tokenizer)
        limitless.model_max_length = int(1e30)
        rows = [{"text": "late again " * (20 * row), "label": row % 4} for row in range(1, 9)]
        positions = bert.config.max_position_embeddings
        for number, model in enumerate((start["model_name_or_path"], bert)):
            args = ContrastiveTrainingArguments(str(tmp_path / str(number)), use_cpu=True, max_steps=1, report_to=[])
            trainer = ContrastiveTrainer(model, args, train_dataset=rows, processing_class=limitless)
            assert max(map(len, trainer.train_dataset["input_ids"])) == positions - 2 < 320
            trainer.train()

    def test_another_training_set(self, trainer, raw_splits):
        trainer.train_dataset = raw_splits["validation"].to_pandas()
        assert len(trainer.train_dataset) == len(raw_splits["validation"])
        trainer.train()

    def test_rows_that_a_transform_tokenises(self, bert, tokenizer, raw_splits, tmp_path):
        names = sorted(raw_splits["train"].unique("label"))
        rows = raw_splits["train"].map(lambda row: {"label": names.index(row["label"])})
        rows.set_transform(lambda batch: {**tokenizer(batch["text"]), "label": batch["label"]})
        args = ContrastiveTrainingArguments(
            str(tmp_path), use_cpu=True, max_steps=2, remove_unused_columns=False, objective="scl", report_to=[]
        )
        trainer = ContrastiveTrainer(bert, args, train_dataset=rows, processing_class=tokenizer)
        assert math.isfinite(trainer.train().training_loss)

    def test_embeddings_of_tokens(self, bert, tmp_path):
        rng, size = np.random.default_rng(0), bert.config.hidden_size
        rows = [{"inputs_embeds": rng.normal(size=(4, size)).astype(np.float32), "labels": n % 4} for n in range(32)]
        features = Features({"inputs_embeds": List(List(Value("float32"))), "labels": Value("int64")})
        args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, report_to=[], **STARTED)
        trainer = ContrastiveTrainer(
            bert, args, default_data_collator, train_dataset=Dataset.from_list(rows, features=features)
        )
        trainer.train()
        assert trainer.state.global_step == 2


class TestOwnParts:
    """Parts of a Trainer that a program replaces."""

    @pytest.mark.parametrize("is_fixed", [False, True])
    def test_texts_of_one_length_need_no_padding(self, bert, splits, tokenizer, tmp_path, is_fixed):
        rows = splits["train"].map(lambda row: tokenizer(row["text"], padding="max_length", max_length=24))
        if is_fixed:
            rows = rows.cast_column("input_ids", List(Value("int64"), length=24))
        args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, report_to=[], **STARTED)
        collator = {} if is_fixed else {"data_collator": default_data_collator}
        trainer = ContrastiveTrainer(bert, args, train_dataset=rows, processing_class=tokenizer, **collator)
        assert {batch["input_ids"].shape[1] for batch in trainer.get_train_dataloader()} == {24}
        assert math.isfinite(trainer.train().training_loss)

    def test_a_loss(self, make_trainer, bert):
        class Plain(ContrastiveTrainer):
            def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
                outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
                loss = torch.nn.functional.cross_entropy(outputs.logits, inputs["labels"])
                return (loss, outputs) if return_outputs else loss

        trainer = make_trainer(objective="scl", max_steps=2)
        trainer.__class__ = Plain
        trainer.train()
        assert trainer.state.global_step == 2

    def test_a_loss_outside_of_a_training(self, make_trainer):
        trainer = make_trainer(objective="scl")
        batch = next(iter(trainer.get_train_dataloader()))
        assert trainer.compute_loss(trainer.model.train(), batch) > 0

    @pytest.mark.parametrize("has_batch_sampler", [False, True])
    def test_a_dataloader(self, make_trainer, has_batch_sampler):
        class Batches:
            """Batches in order, by a sampler that is none of torch's."""

            def __init__(self, number):
                self.batches = list(BatchSampler(SequentialSampler(range(number)), 16, drop_last=False))

            def __iter__(self):
                return iter(self.batches)

            def __len__(self):
                return len(self.batches)

        trainer = make_trainer(distill_mean=True, **STARTED)
        rows = trainer.train_dataset.remove_columns("text")
        how = {"batch_sampler": Batches(len(rows))} if has_batch_sampler else {"batch_size": 16}
        trainer.get_train_dataloader = lambda: DataLoader(rows, collate_fn=trainer.data_collator, **how)
        trainer.train()
        assert trainer.state.global_step == 2


def test_no_whole_batch_is_an_error_not_an_endless_loop(make_trainer, splits):
    few = splits["train"].select(range(8))
    trainer = make_trainer(train=few, distill_mean=True, dataloader_drop_last=True, **STARTED)
    with pytest.raises(ValueError, match="no whole batch"):
        trainer.train()


def test_a_stream_after_a_start_is_trained_on_to_its_last_step(make_trainer, splits):
    first = make_trainer(objective="lcl", head_start=True, max_steps=1)
    first.train()
    stream = splits["train"].to_iterable_dataset()
    second = make_trainer(model=first.model, train=stream, objective="lcl", max_steps=2, folder="second")
    second.train()
    assert second.state.global_step == 2


def test_any_number_of_epochs_has_a_sample_of_the_weights(bert, tmp_path):
    model = LCLForSequenceClassification.from_native(bert, weighting="head")
    args = ContrastiveTrainingArguments(str(tmp_path), stop_when_learned=True, use_cpu=True, num_train_epochs=1000)
    state, control = TrainerState(max_steps=1000, num_train_epochs=1000), args
    learned = StopWhenLearned()
    inputs = {"model": model, "train_dataloader": DataLoader([0])}
    learned.on_train_begin(args, state, control, **inputs)
    for step in range(1, 4):
        learned.observe([0.0, 0.0])
        state.global_step, state.epoch = step, float(step)
        learned.on_step_end(args, state, control, **inputs)
        learned.on_epoch_end(args, state, control, **inputs)
    learned.on_train_end(args, state, control, **inputs)
    assert learned.has_ended


def test_a_classifier_replaces_an_adapter_and_the_other_way_round(make_trainer, encoder_folder, tmp_path):
    def trained(adapter, **settings):
        model = LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4, weighting="none")
        trainer = make_trainer(model=model, objective="scl", max_steps=1, peft_config=adapter, **settings)
        trainer.train()
        trainer.save_model(str(tmp_path / "model"))
        return {path.name for path in (tmp_path / "model").iterdir()}, trainer

    lora = LoraConfig(r=2, target_modules=["query"])
    adapters = {"adapter_config.json", "adapter_model.safetensors"}
    assert adapters < trained(lora, merge_adapter=False)[0]
    names, trainer = trained(None)
    assert not adapters & names
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    batch = trainer.data_collator([{"input_ids": [2, 7, 3]}])
    torch.testing.assert_close(loaded.eval()(**batch).logits, trainer.model.eval()(**batch).logits)
    names, _ = trained(lora, merge_adapter=False)
    assert adapters < names
    assert "model.safetensors" not in names


class TestSeveralLabels:
    """Rows of 0 and 1."""

    @pytest.mark.parametrize("kind", [bool, int, float])
    def test_of_any_type(self, make_trainer, several_splits, kind):
        rows = several_splits["train"].map(lambda row: {"labels": [kind(value) for value in row["labels"]]})
        few = rows.cast_column("labels", List(Value({bool: "bool", int: "int64", float: "float32"}[kind])))
        trainer = make_trainer(train=few, several=True, objective="scl", max_steps=1)
        assert math.isfinite(trainer.train().training_loss)

    def test_in_raw_texts_are_not_taken_for_names(self, start, tmp_path):
        rows = [{"text": f"my cake {row}", "label": [row % 2, 1 - row % 2]} for row in range(8)]
        args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True)
        with pytest.raises(ValueError, match="rows of 2 zeros and ones in column 'label': give lists of the names"):
            ContrastiveTrainer(start["model_name_or_path"], args, train_dataset=rows)


def test_a_first_batch_that_is_not_finite_has_the_message_of_any_other(make_trainer):
    trainer = make_trainer(objective="scl", max_steps=1)
    with torch.no_grad():
        trainer.model.native.base_model.embeddings.word_embeddings.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="Stopped at step 1"):
        trainer.train()


def test_numbers_of_numpy_are_numbers(tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), class_weights=np.array([1.0, 2.5]), mini_batch_size=np.int64(4))
    assert args.class_weights == [1.0, 2.5]
    with pytest.raises(ValueError, match="must be 'balanced' or one positive number per class"):
        ContrastiveTrainingArguments(str(tmp_path), class_weights={0: 1.0, 1: 2.0})
