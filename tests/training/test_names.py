"""Class names are training texts of a new classifier."""

import pytest
from datasets import Dataset
from torch.utils.data import ConcatDataset

from hf_lcl.training.names import names_as_texts, with_names


NAMES = {0: "angry_at_once", 1: "LABEL_1", 2: "glad"}


def named(rows, *arguments):
    """A data set with its names."""
    return with_names(rows, names_as_texts(rows, *arguments))


@pytest.fixture
def words(tokenizer):
    """The tokens of the two names that say something."""
    return [tokenizer(text)["input_ids"] for text in ("angry at once", "glad")]


@pytest.fixture
def rows() -> Dataset:
    """Two texts, with a column that a model does not take."""
    return Dataset.from_dict({"text": ["a", "b"], "input_ids": [[2, 5, 3], [2, 6, 7, 3]], "label": [0, 1]})


class TestRows:
    """What becomes of a data set."""

    def test_names_are_further_rows(self, rows, words, tokenizer):
        whole = named(rows, NAMES, tokenizer)
        assert isinstance(whole, Dataset)
        assert whole.features == rows.features
        assert whole[:2] == rows[:]
        assert whole[2:] == {"text": [None, None], "input_ids": words, "label": [0, 2]}

    def test_rows_keep_their_format(self, rows, words, tokenizer):
        whole = named(rows.with_format("torch", columns=["input_ids", "label"]), NAMES, tokenizer)
        assert set(whole[3]) == {"input_ids", "label"}
        assert whole[3]["input_ids"].tolist() == words[1]

    def test_a_data_set_of_another_kind_is_followed_by_them(self, rows, words, tokenizer):
        whole = named(rows.select_columns(["input_ids", "label"]).to_list(), NAMES, tokenizer)
        assert isinstance(whole, ConcatDataset)
        assert [whole[row]["label"] for row in range(4)] == [0, 1, 0, 2]
        assert [whole[row]["input_ids"] for row in (2, 3)] == words

    def test_rows_with_other_inputs_of_the_model_stay_alone(self, rows, words, tokenizer):
        inputs = ["input_ids", "token_type_ids", "entity_ids", "label_ids", "labels"]
        linked = rows.add_column("entity_ids", [[1], [2]])
        assert named(linked, NAMES, tokenizer, inputs) is linked
        assert named(rows.add_column("label_ids", [0, 1]), NAMES, tokenizer, inputs)[2:]["input_ids"] == words

    def test_where_there_is_none_or_they_cannot_be_made_it_stays_the_same(self, rows, tokenizer):
        assert named(rows, {0: "LABEL_0", 1: "7"}, tokenizer) is rows
        assert named(rows, NAMES, None) is rows
        computed = rows.with_transform(lambda batch: batch)
        assert named(computed, NAMES, tokenizer) is computed


class TestTrainer:
    """When a trainer reads them."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda rows: rows.rename_column("labels", "label"),
            lambda rows: rows.map(lambda row: {f"view_{name}": row[name] for name in ("input_ids", "attention_mask")}),
            lambda rows: rows.remove_columns("token_type_ids").to_list(),
            lambda rows: rows.map(lambda row: {"position_ids": list(range(len(row["input_ids"])))}),
        ],
        ids=["label", "view", "list", "positions"],
    )
    def test_any_columns_may_stand_beside_them(self, make_trainer, splits, change):
        rows = change(splits["train"].select(range(9)))  # so few that names and texts share a batch
        views = {"num_views": 2, "view": "column"} if "view_input_ids" in rows[0] else {}
        make_trainer(train=rows, objective="scl", head_start=True, max_steps=2, **views).train()

    @pytest.fixture
    def read(self, splits, tokenizer):
        """The texts that a trainer reads in an epoch, and those that it reads if it reads the names, too."""

        def read(trainer) -> tuple[list[str], list[str], list[str]]:
            found = [
                tokenizer.decode(row, skip_special_tokens=True)
                for batch in trainer.get_train_dataloader()
                for row in batch["input_ids"]
            ]
            names = tokenizer(splits["train"].features["labels"].names)["input_ids"]
            given, said = (
                tokenizer.batch_decode(rows, skip_special_tokens=True)
                for rows in (splits["train"]["input_ids"][:], names)
            )
            return sorted(found), sorted(given), sorted([*given, *said])

        return read

    def test_a_new_classifier_learns_from_the_names(self, make_trainer, read):
        trainer = make_trainer(objective="scl", head_start=True, max_steps=1)
        found, _, named = read(trainer)
        assert found == named
        trainer.train()
        assert read(trainer)[0] == named  # a second training goes on with them
        assert len(trainer.train_dataset) == len(named) - 4  # which is that of its user

    @pytest.mark.parametrize(
        "settings",
        [
            {"objective": "ce"},
            {"objective": "scl", "head_start": False},
            {"objective": "scl", "head_start": True, "names_as_texts": False},
            {"objective": "scl", "head_start": True, "num_views": 2, "view": "column"},
        ],
        ids=str,
    )
    def test_otherwise_it_learns_from_its_texts_alone(self, make_trainer, read, settings):
        found, given, _ = read(make_trainer(**settings))
        assert found == given

    def test_cross_entropy_after_the_start_learns_from_them(self, make_trainer, read):
        found, _, named = read(make_trainer(objective="ce", head_start=True))
        assert found == named

    def test_a_finished_classifier_learns_from_its_texts_alone(self, make_trainer, read, tmp_path):
        first = make_trainer(objective="scl", max_steps=1)
        first.train()
        first.save_model(str(tmp_path / "finished"))
        again = make_trainer(model=str(tmp_path / "finished"), objective="scl")
        found, given, _ = read(again)
        assert found == given
