"""Data sets by name: the entries of `recipes.json`, and the conversion of rows from the Hub or a folder."""

import gzip
import json
import re
from dataclasses import replace

import pytest
import recipes
from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value
from recipes import get_recipe, load_recipe, recipe_names

from hf_lcl import encode_labels


NUM_CLASSES = {
    "empathetic_dialogues": 32,
    "goemotions": 27,
    "goemotions_first": 27,
    "emoint": 4,
    "sst5": 5,
    "sst2": 2,
    "tsa": 2,
    "tweeteval": 2,
    "parsinlu": 6,
    "ag_news": 4,
    "ag_news_subset": 4,
    "banking77": 77,
    "clinc150": 150,
    "trec6": 6,
}
SPLITS = ["train", "validation", "test"]


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    """Ignores data folders of this machine."""
    monkeypatch.delenv("HF_LCL_DATA", raising=False)


def rows_of(name: str, per_class: int = 1) -> list[dict]:
    """Rows of every class, in the layout of a local file."""
    recipe = get_recipe(name)
    more = {column: values[0] for where in recipe.folder_where.values() for column, values in where.items()}
    return [{"text": f"text {i}", "label": label} | more for label in recipe.classes for i in range(per_class)]


@pytest.fixture
def write(tmp_path):
    """Writes the rows of a split to the file that a recipe reads."""

    def write(name: str, split: str, rows: list[dict], suffix: str = ".jsonl.gz") -> None:
        path = tmp_path / get_recipe(name).folder / f"{split}{suffix}"
        path.parent.mkdir(exist_ok=True)
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)

    return write


def pairs(dataset: Dataset) -> list[tuple[str, str]]:
    """Texts and class names."""
    return list(zip(dataset["text"], dataset.features["label"].int2str(dataset["label"][:])))


# Entries of recipes.json


def test_recipes_are_those_of_the_papers_and_of_intents():
    assert {name: len(get_recipe(name).classes) for name in recipe_names()} == NUM_CLASSES


@pytest.mark.parametrize("name", recipe_names())
def test_entry_is_complete_and_consistent(name):
    recipe = get_recipe(name)
    assert recipe.name == name
    assert all((recipe.title, recipe.licence, recipe.folder))
    assert recipe.selection.endswith(".")
    assert re.fullmatch("[a-z]{2}", recipe.language)
    assert re.search(r"\((19|20)\d\d\), .+ https://", recipe.citation)
    assert len(set(recipe.classes)) == len(recipe.classes)
    assert not set(recipe.classes) & set(recipe.drop)
    assert set(recipe.folder_where) <= set(SPLITS)
    hub = recipe.hub
    if hub is None:
        return
    assert re.fullmatch(r"[\w-]+/[\w-]+", hub.path)
    assert re.fullmatch(r"[0-9a-f]{40}|refs/convert/parquet", hub.revision)
    assert hub.several_labels in (None, "first", "only")
    if hub.names:
        assert set(hub.names.values()) == set(recipe.classes) | set(recipe.drop)
    if hub.data_files is not None:
        assert ("validation" in hub.data_files) == (recipe.validation_share == 0)
        assert {"train", "test"} <= set(hub.data_files)


def test_unknown_name_lists_the_names():
    with pytest.raises(
        ValueError, match=r"recipe='sst-5' is unknown: use one of 'empathetic_dialogues', .*'trec6'\.$"
    ):
        load_recipe("sst-5")


# From a folder


@pytest.mark.parametrize(("name", "suffix"), [*((name, ".jsonl.gz") for name in recipe_names()), ("sst2", ".jsonl")])
def test_folder_gives_all_splits_with_classes_in_order(name, suffix, write, tmp_path):
    rows = rows_of(name)
    for split in SPLITS:
        write(name, split, rows, suffix)
    splits, recipe = load_recipe(name, tmp_path)
    assert list(splits) == SPLITS
    for split in SPLITS:
        assert splits[split].features["label"] == ClassLabel(names=recipe.classes)
        assert pairs(splits[split]) == [(row["text"], row["label"]) for row in rows]
    assert encode_labels(splits)[1] == recipe.classes


def test_folder_may_stand_in_the_environment(write, tmp_path, monkeypatch):
    for split in SPLITS:
        write("sst2", split, rows_of("sst2"))
    monkeypatch.setenv("HF_LCL_DATA", str(tmp_path))
    assert pairs(load_recipe("sst2")[0]["test"]) == [("text 0", "negative"), ("text 0", "positive")]


def test_other_columns_of_a_file_stay(write, tmp_path):
    rows = rows_of("empathetic_dialogues")
    write("empathetic_dialogues", "train", [row | {"paraphrase": "again"} for row in rows])
    for split in SPLITS[1:]:
        write("empathetic_dialogues", split, rows)
    splits, _ = load_recipe("empathetic_dialogues", tmp_path)
    assert set(splits["train"]["paraphrase"]) == {"again"}


def test_neutral_tweets_are_left_out(write, tmp_path):
    rows = [*rows_of("tweeteval"), {"text": "so so", "label": "neutral"}]
    for split in SPLITS:
        write("tweeteval", split, rows)
    for dataset in load_recipe("tweeteval", tmp_path)[0].values():
        assert [label for _, label in pairs(dataset)] == ["negative", "positive"]


def test_reviews_of_food_are_left_out_of_the_test_alone(write, tmp_path):
    rows = [*rows_of("parsinlu"), {"text": "sweet", "label": "positive", "domain": "food"}]
    for split in SPLITS:
        write("parsinlu", split, rows)
    splits, _ = load_recipe("parsinlu", tmp_path)
    assert [("sweet", "positive") in pairs(splits[split]) for split in SPLITS] == [True, True, False]
    assert len(splits["test"]) == 6


@pytest.mark.parametrize(
    ("split", "rows", "words"),
    [
        (
            "test",
            [{"text": "a", "label": "ok"}],
            ["'sst2'", "the test split", "label 'ok'", "2 classes: negative, pos"],
        ),
        ("train", [{"text": "a", "label": "negative"}], ["of 2 classes", "train split has no text of positive"]),
        ("validation", [{"body": "a", "label": "negative"}], ["validation file has no column text", "body, label"]),
    ],
)
def test_data_that_are_not_those_of_the_recipe(split, rows, words, write, tmp_path):
    for name in SPLITS:
        write("sst2", name, rows if name == split else rows_of("sst2"))
    with pytest.raises(ValueError, match="sst2") as caught:
        load_recipe("sst2", tmp_path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_missing_file_is_named_with_what_belongs_there(write, tmp_path):
    write("parsinlu", "train", rows_of("parsinlu"))
    with pytest.raises(ValueError, match="validation") as caught:
        load_recipe("parsinlu", tmp_path)
    folder = tmp_path / "parsinlu_sentiment"
    assert str(caught.value) == (
        f"recipe 'parsinlu': {folder}/validation.jsonl.gz does not exist. Put train.jsonl.gz, validation.jsonl.gz, "
        f'test.jsonl.gz (one {{"text": ..., "label": class name}} a line) into {folder}.'
    )


# From the Hub


@pytest.mark.parametrize("name", [name for name in recipe_names() if get_recipe(name).hub is not None])
def test_without_network_the_error_says_in_one_line_which_files_to_put_where(name):
    with pytest.raises(ValueError, match="cannot be loaded from the Hub") as caught:
        load_recipe(name)
    message = str(caught.value)
    assert "\n" not in message
    assert "Put train.jsonl.gz, validation.jsonl.gz, test.jsonl.gz" in message
    assert f"into FOLDER/{get_recipe(name).folder}, and give --data_dir FOLDER or set HF_LCL_DATA=FOLDER." in message


@pytest.mark.parametrize("name", ["emoint", "tsa", "ag_news_subset"])
def test_data_that_the_hub_does_not_have(name):
    with pytest.raises(ValueError, match=r"has no source on the Hub. Put train.jsonl.gz, .* into FOLDER/" + name):
        load_recipe(name)


def whole(name: str, rows: dict) -> DatasetDict:
    """The same columns in all splits."""
    return DatasetDict({split: Dataset.from_dict(rows) for split in SPLITS})


def test_conversations_become_their_situations():
    recipe = get_recipe("empathetic_dialogues")
    emotions = recipe.classes
    conversations = [f"hit:{i}" for i in range(len(emotions))]
    turns = {
        "conv_id": [c for c in conversations for _ in range(3)],
        "utterance_idx": [1, 2, 3] * 32,
        "context": [e for e in emotions for _ in range(3)],
        "prompt": [f"I_comma_ {e}_comma_ {turn}" for e in emotions for turn in range(3)],
        "utterance": ["So?"] * 96,
    }
    splits = recipe.from_hub(whole("empathetic_dialogues", turns))
    assert pairs(splits["train"]) == [(f"I, {emotion}, 0", emotion) for emotion in emotions]
    assert splits["test"].column_names == ["text", "label"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("goemotions", []),
        ("goemotions_first", [("two", "anger"), ("anger, then neutral", "anger")]),
    ],
)
def test_comments_with_several_emotions(name, expected):
    recipe = get_recipe(name)
    names = [*recipe.classes, "neutral"]
    ids = [[i] for i in range(27)]
    more = {
        "two": [names.index("anger"), names.index("joy")],
        "neutral": [27],
        "anger, then neutral": [names.index("anger"), 27],
        "neutral, then joy": [27, names.index("joy")],
    }
    features = Features({"text": Value("string"), "labels": Sequence(ClassLabel(names=names)), "id": Value("string")})
    rows = {"text": [*recipe.classes, *more], "labels": [*ids, *more.values()], "id": ["x"] * 31}
    dataset = Dataset.from_dict(rows, features=features)
    splits = recipe.from_hub(DatasetDict(dict.fromkeys(SPLITS, dataset)))
    for split in SPLITS:
        assert pairs(splits[split]) == [(label, label) for label in recipe.classes] + expected


def test_reviews_count_with_their_overall_sentiment():
    recipe = get_recipe("parsinlu")
    rows = {
        "review": [f"review {i}" for i in range(-2, 4) for _ in range(2)],
        "aspect": ["صدا", "کلی"] * 6,
        "label": [label for i in range(-2, 4) for label in ("-3", str(i))],
    }
    splits = recipe.from_hub(whole("parsinlu", rows))
    assert pairs(splits["test"]) == [(f"review {i}", name) for i, name in zip(range(-2, 4), recipe.classes)]


def test_questions_out_of_scope_are_left_out():
    recipe = get_recipe("clinc150")
    names = [*recipe.classes[:42], "oos", *recipe.classes[42:]]
    features = Features({"text": Value("string"), "intent": ClassLabel(names=names)})
    dataset = Dataset.from_dict({"text": names, "intent": list(range(151))}, features=features)
    splits = recipe.from_hub(DatasetDict(dict.fromkeys(SPLITS, dataset)))
    assert pairs(splits["validation"]) == [(name, name) for name in recipe.classes]


def test_tenth_of_each_class_is_held_out_where_there_is_no_validation():
    recipe = get_recipe("banking77")
    rows = {
        "text": [f"{name} {i}" for name in recipe.classes for i in range(20)],
        "label": [i for i in range(77) for _ in range(20)],
        "label_text": [name for name in recipe.classes for _ in range(20)],
    }
    dataset = Dataset.from_dict(rows)
    hub = DatasetDict(train=dataset, test=dataset.select(range(3)))
    splits, again = recipe.from_hub(hub), recipe.from_hub(hub)
    assert list(splits) == SPLITS
    assert sorted(splits["validation"]["label"]) == [i for i in range(77) for _ in range(2)]
    assert sorted(pairs(splits["train"]) + pairs(splits["validation"])) == sorted(
        zip(rows["text"], rows["label_text"])
    )
    assert pairs(splits["validation"]) == pairs(again["validation"])


def test_column_that_the_hub_does_not_have_any_more():
    with pytest.raises(ValueError, match=r"SetFit/sst5 has no column label_text; its columns are text, label\."):
        get_recipe("sst5").from_hub(whole("sst5", {"text": ["a"], "label": [0]}))


def test_files_of_a_repository_are_read_as_the_recipe_says(tmp_path, monkeypatch):
    """A local folder replaces a repository of the Hub, with parquet files like those that the Hub converts to."""
    recipe = get_recipe("trec6")
    features = Features(
        {"text": Value("string"), "coarse_label": ClassLabel(names=["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"])}
    )
    rows = {"text": [f"question {i}" for i in range(60)], "coarse_label": [i % 6 for i in range(60)]}
    for split in ("train", "test"):
        (tmp_path / "default" / split).mkdir(parents=True)
        Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "default" / split / "0000.parquet")
    hub = replace(recipe.hub, path=str(tmp_path), revision=None)
    monkeypatch.setitem(recipes._recipes(), "trec6", replace(recipe, hub=hub))
    splits, _ = load_recipe("trec6", cache_dir=str(tmp_path / "cache"))
    assert {split: len(dataset) for split, dataset in splits.items()} == {"train": 54, "validation": 6, "test": 60}
    names = ["abbreviation", "entity", "description", "human", "location", "numeric"]
    assert pairs(splits["test"]) == [(f"question {i}", names[i % 6]) for i in range(60)]
