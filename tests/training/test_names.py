"""Class names are texts of every batch that a new classifier is trained on."""

from collections import Counter
from copy import deepcopy

import pytest
import torch
from datasets import Dataset, List, Value
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

from hf_lcl import LCLForSequenceClassification
from hf_lcl.data.views import IS_NAME
from hf_lcl.training.names import BatchesWithNames, names_as_texts, say_more


NAMES = {0: "angry_at_once", 1: "LABEL_1", 2: "glad"}
# Words that only the texts of their classes hold.
FITTING = {0: "furious shouting rage", 1: "sigh queue late", 2: "party cake laughing", 3: "medal won applause"}


@pytest.fixture
def words(tokenizer):
    """The tokens of the two names that say something."""
    return [tokenizer(text)["input_ids"] for text in ("angry at once", "glad")]


@pytest.fixture
def rows() -> Dataset:
    """Four texts, with a column that a model does not take."""
    columns = {"text": ["a", "b", "c", "d"], "input_ids": [[2, 5, 3], [2, 6, 7, 3], [2, 8, 3], [2, 9, 3]]}
    return Dataset.from_dict({**columns, "label": [2, 1, 2, 0]})


class TestBatches:
    """What becomes of the batches of a data set."""

    @pytest.fixture
    def batches(self, tokenizer):
        """The batches of two rows each, in order, as lists of token ids and labels."""

        def batches(dataset, **options) -> list[list[tuple[list[int], int]]]:
            whole = BatchesWithNames(dataset, names_as_texts(dataset, NAMES, tokenizer))
            assert len(whole) == len(dataset)
            found = DataLoader(whole, batch_size=2, collate_fn=list, **options)
            return [[(list(map(int, row["input_ids"])), int(row["label"])) for row in batch] for batch in found]

        return batches

    @pytest.mark.parametrize(
        "change",
        [
            lambda rows: rows,
            lambda rows: rows.with_format("torch", columns=["input_ids", "label"]),
            lambda rows: rows.with_transform(lambda batch: batch),
            lambda rows: rows.to_list(),
        ],
        ids=["data set", "tensors", "computed", "list"],
    )
    def test_a_batch_also_holds_the_names_of_its_classes(self, rows, words, batches, change):
        texts = list(zip(rows["input_ids"][:], rows["label"][:]))
        first, second = batches(change(rows))
        assert first == [*texts[:2], (words[1], 2)]  # the class of the second text has no name
        assert second == [*texts[2:], (words[0], 0), (words[1], 2)]

    def test_a_name_is_there_once_however_many_texts_are_of_its_class(self, rows, words, batches):
        assert batches(rows.select([0, 2])) == [[([2, 5, 3], 2), ([2, 8, 3], 2), (words[1], 2)]]

    def test_processes_that_load_batches_add_them_too(self, rows, batches):
        assert batches(rows, num_workers=1) == batches(rows)


class TestRows:
    """For which data sets the names can be made."""

    def test_rows_with_other_inputs_of_the_model_stay_alone(self, rows, words, tokenizer):
        inputs = ["input_ids", "token_type_ids", "entity_ids", "label_ids", "labels"]
        linked = rows.add_column("entity_ids", [[1], [2], [3], [4]])
        assert names_as_texts(linked, NAMES, tokenizer, inputs) == []
        made = names_as_texts(rows.add_column("label_ids", [0, 1, 0, 1]), NAMES, tokenizer, inputs)
        assert made == [{"input_ids": words[0], "label": 0}, {"input_ids": words[1], "label": 2}]

    def test_several_labels_are_no_list_of_a_fixed_length(self, rows, words, tokenizer):
        several = rows.remove_columns("label").add_column("label", [[1.0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]])
        several = several.cast_column("label", List(Value("float32"), length=3))
        made = names_as_texts(several, NAMES, tokenizer)
        assert made == [{"input_ids": words[0], "label": [1, 0, 0]}, {"input_ids": words[1], "label": [0, 0, 1]}]
        fixed = rows.add_column("attention_mask", [[1, 1]] * 4).cast_column(
            "attention_mask", List(Value("int8"), length=2)
        )
        assert names_as_texts(fixed, NAMES, tokenizer) == []

    @pytest.mark.parametrize(("limit", "kept"), [(None, 64), (16, 16)], ids=["ours", "the tokenizer's"])
    def test_long_names_are_cut(self, rows, tokenizer, limit, kept):
        tokenizer = deepcopy(tokenizer)
        tokenizer.model_max_length = limit or tokenizer.model_max_length
        (name,) = names_as_texts(rows, {0: "angry " * 900}, tokenizer)
        assert len(name["input_ids"]) == kept
        assert name["input_ids"][-1] == tokenizer.sep_token_id

    def test_where_there_is_none_or_they_cannot_be_made_there_are_none(self, rows, tokenizer):
        assert names_as_texts(rows, {0: "LABEL_0", 1: "7"}, tokenizer) == []
        assert names_as_texts(rows, NAMES, None) == []


class TestWhetherNamesSayMore:
    """Ten texts of each of four classes around a direction of their own; names are far away, as short texts are."""

    def data(self, of_names):
        """Names along these directions."""
        noise = torch.randn(44, 16, generator=torch.Generator().manual_seed(0)) / 3
        noise[40:] /= 10
        labels = torch.arange(4).repeat_interleave(10)
        features = torch.eye(16)[torch.cat([labels, torch.tensor(of_names)])] + noise + 3
        features[40:] += 20
        return features, torch.cat([labels, torch.arange(4)]), 4

    def test_they_do_near_the_texts_of_their_classes(self):
        assert say_more(*self.data([0, 1, 2, 3]))
        assert say_more(*self.data([0, 1, 2, 9]))  # all but one

    @pytest.mark.parametrize(
        "of_names", [[1, 2, 3, 0], [9, 9, 9, 9], [6, 7, 8, 9], [0, 7, 8, 9]], ids=["wrong", "alike", "other", "one"]
    )
    def test_else_they_do_not(self, of_names):
        assert not say_more(*self.data(of_names))

    def test_a_class_without_texts_does_not_count(self):
        features, labels, _ = self.data([0, 1, 2, 3])
        assert say_more(torch.cat([features[:30], features[40:]]), torch.cat([labels[:30], labels[40:]]), 4)

    def test_a_class_with_a_single_text_does_not_decide(self):
        for seed in range(20):
            noise = torch.rand(44, 16, generator=torch.Generator().manual_seed(seed))
            for of_names, expected in (([0, 1, 2, 3], True), ([9, 9, 9, 9], False)):
                features, labels, _ = self.data(of_names)
                single = torch.tensor([0, *range(10, 44)])
                assert say_more((features + noise / 5)[single], labels[single], 4) == expected, seed

    def test_where_all_texts_are_of_one_class_there_is_nothing_to_compare(self):
        features, _, _ = self.data([0, 1, 2, 3])
        assert not say_more(features, torch.tensor([0] * 40 + [0, 1, 2, 3]), 4)

    @pytest.mark.parametrize("of_names", [[0, 1, 2, 3], [1, 2, 3, 0], [9, 9, 9, 9]], ids=str)
    def test_with_one_text_of_each_class_they_are_its_only_positives(self, of_names):
        features, labels, _ = self.data(of_names)
        single = torch.tensor([0, 10, 20, 30, 40, 41, 42, 43])
        assert say_more(features[single], labels[single], 4)


class TestTrainer:
    """When a trainer reads them."""

    @pytest.fixture
    def make_named(self, make_trainer, encoder_folder):
        """Makes a trainer for a new classifier with these names."""

        def make(names, **settings):
            model = LCLForSequenceClassification.from_encoder(encoder_folder, id2label=names)
            return make_trainer(model=model, objective="lcl", head_start=True, logging_steps=1, **settings)

        return make

    def test_names_that_say_no_more_are_left_out(self, make_named, caplog, tmp_path):
        wrong = dict(zip(FITTING, [*FITTING.values()][::-1]))
        checkpoints = {"save_strategy": "steps", "save_steps": 1}
        trainer = make_named(wrong, max_steps=1, **checkpoints)
        trainer.train()
        assert trainer.model.config.start == ["head_start"]
        assert "Batches are without class names" in caplog.text
        assert "loss_names" not in trainer.state.log_history[0]
        resumed = make_named(wrong, max_steps=2, folder="resumed")
        resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-1"))
        assert "loss_names" not in resumed.state.log_history[1]

    def test_a_resumed_run_goes_on_with_names(self, make_named, tmp_path):
        make_named(FITTING, max_steps=1, save_strategy="steps", save_steps=1).train()
        resumed = make_named(FITTING, max_steps=2, folder="resumed")
        resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-1"))
        assert resumed.model.config.start == ["names_in_batches", "head_start"]
        assert "loss_names" in resumed.state.log_history[0]
        assert resumed.state.log_history[1]["loss_names"] > 0

    @pytest.mark.parametrize(
        "change",
        [
            lambda rows: rows.rename_column("labels", "label"),
            lambda rows: rows.remove_columns("token_type_ids").to_list(),
            lambda rows: rows.map(lambda row: {"position_ids": list(range(len(row["input_ids"])))}),
        ],
        ids=["label", "list", "positions"],
    )
    def test_any_columns_may_stand_beside_them(self, make_named, splits, change):
        names = dict(enumerate(splits["train"].features["labels"].names))
        rows = change(splits["train"].select(range(9)))  # so few that names and texts share a batch of the fit
        trainer = make_named(names, train=rows, max_steps=2)
        assert next(iter(trainer.get_train_dataloader()))[IS_NAME].any()
        trainer.train()

    def test_second_views_have_no_part_in_the_fit_nor_names_in_their_batches(self, make_trainer, splits):
        rows = splits["train"].select(range(9))  # so few that names and texts share a batch of the fit
        rows = rows.map(lambda row: {f"view_{name}": row[name] for name in ("input_ids", "attention_mask")})
        trainer = make_trainer(train=rows, objective="scl", head_start=True, max_steps=1, num_views=2, view="column")
        trainer.train()
        assert trainer.model.config.start == ["head_start"]
        assert "loss_names" not in trainer.state.log_history[0]

    def test_columns_that_are_kept_and_that_names_lack_keep_names_out(self, make_trainer, splits):
        rows = splits["train"].add_column("place", range(len(splits["train"])))
        trainer = make_trainer(train=rows, objective="scl", head_start=True, max_steps=1, remove_unused_columns=False)
        batch = next(iter(trainer.get_train_dataloader()))
        assert IS_NAME not in batch
        assert len(batch["place"]) == len(batch["labels"])

    @pytest.fixture
    def read(self, splits, tokenizer):
        """Whether the batches that a trainer reads in an epoch hold the names of their classes beside its texts."""

        def decoded(rows) -> list[str]:
            return tokenizer.batch_decode(rows, skip_special_tokens=True)

        def read(trainer) -> bool:
            said = decoded(tokenizer([*trainer.model.config.id2label.values()])["input_ids"])
            texts, added = Counter(), []
            for batch in trainer.get_train_dataloader():
                found, classes = decoded(batch["input_ids"]), set(batch["labels"].tolist())
                expected = [said[label] for label in sorted(classes)]
                added.append(found[-len(expected) :] == expected)
                texts.update(found[: -len(expected)] if added[-1] else found)
            assert texts == Counter(decoded(splits["train"]["input_ids"][:]))  # each text once
            assert all(added) or not any(added)
            return all(added)

        return read

    def test_a_new_classifier_learns_from_the_names(self, make_named, read, splits):
        trainer = make_named(FITTING, max_steps=1)
        assert read(trainer)
        trainer.train()
        assert read(trainer)  # a second training goes on with them
        assert len(trainer.train_dataset) == len(splits["train"])  # which is that of its user

    @pytest.mark.parametrize(
        "settings",
        [
            {"objective": "ce"},
            {"objective": "scl", "head_start": False},
            {"objective": "scl", "head_start": True, "names_as_texts": False},
            {"objective": "scl", "head_start": True, "num_views": 2, "view": "column"},
            {"objective": "ce", "head_start": True},
            {"objective": "lcl", "head_start": True, "alpha": 1.0},
        ],
        ids=str,
    )
    def test_otherwise_it_learns_from_its_texts_alone(self, make_trainer, read, settings):
        assert not read(make_trainer(**settings))

    @pytest.mark.parametrize("settings", [{}, {"num_views": 2}, {"mini_batch_size": 3}], ids=str)
    def test_texts_are_compared_with_them(self, make_named, settings):
        trainer = make_named(FITTING, max_steps=2, **settings)
        trainer.train()
        losses = [line["loss_names"] for line in trainer.state.log_history if "loss" in line]
        assert len(losses) == 2
        assert min(losses) > 0
        assert "eval_loss_names" not in trainer.evaluate()

    def test_a_collator_of_transformers_tells_names_from_texts_too(self, make_trainer, tokenizer):
        trainer = make_trainer(objective="scl", head_start=True)
        trainer.data_collator = DataCollatorWithPadding(tokenizer)
        batch = next(iter(trainer.get_train_dataloader()))
        classes = batch["labels"][~batch[IS_NAME]].unique().tolist()
        assert batch["labels"][batch[IS_NAME]].tolist() == classes

    def test_a_finished_classifier_learns_from_its_texts_alone(self, make_trainer, read, tmp_path):
        first = make_trainer(objective="scl", max_steps=1)
        first.train()
        first.save_model(str(tmp_path / "finished"))
        again = make_trainer(model=str(tmp_path / "finished"), objective="scl")
        assert not read(again)

    def test_one_text_of_each_class_is_enough_with_its_name(self, make_named, splits):
        seen: set[int] = set()
        labels = splits["train"]["labels"][:]
        rows = [row for row, label in enumerate(labels) if not (label in seen or seen.add(label))]
        trainer = make_named(FITTING, train=splits["train"].select(rows), max_steps=1)
        trainer.train()
        logged = next(line for line in trainer.state.log_history if "loss" in line)
        assert logged["valid_anchors"] == 1
