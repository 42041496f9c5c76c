"""Texts are tokenised once: a second call, in this process or another, reads the token ids from the cache."""

import os

import pytest
from datasets import Dataset, DatasetDict, IterableDatasetDict

from hf_lcl import load_splits, tokenize_texts


def one_split(**columns: list) -> DatasetDict:
    return DatasetDict(train=Dataset.from_dict(columns))


def test_one_column_gives_the_tokenizers_ids(raw_splits, tokenizer):
    tokenized = tokenize_texts(raw_splits, tokenizer)
    texts = raw_splits["test"]["text"][:]
    assert tokenized["test"]["input_ids"][:] == tokenizer(texts)["input_ids"]


def test_everything_that_the_tokenizer_gives_is_kept(raw_splits, tokenizer):
    added = set(tokenize_texts(raw_splits, tokenizer)["train"].column_names) - {"text", "label"}
    assert added == {"input_ids", "token_type_ids", "attention_mask"}


def test_several_columns_are_joined_in_the_order_asked_for(tokenizer):
    splits = one_split(title=["rage"], body=["party cake"])
    tokenized = tokenize_texts(splits, tokenizer, ["body", "title"], delimiter=" again ")
    assert tokenized["train"]["input_ids"][:] == [tokenizer("party cake again rage")["input_ids"]]


def test_unicode_is_left_to_the_tokenizer(tokenizer):
    # Texts that are the same to the model after the tokenizer's normalisation, although they differ.
    texts = ["café", "cafe\N{COMBINING ACUTE ACCENT}", "CAFE", "ＣＡＫＥ", "  cake\u200b "]
    ids = tokenize_texts(one_split(text=texts), tokenizer)["train"]["input_ids"][:]
    assert ids == tokenizer(texts)["input_ids"]
    assert ids[0] == ids[1] == ids[2] != ids[3] == tokenizer("[UNK]")["input_ids"]


def test_long_texts_are_cut_and_short_ones_are_not_padded(tokenizer):
    tokenized = tokenize_texts(one_split(text=["cake " * 20, "cake"]), tokenizer, max_length=8)
    assert [len(ids) for ids in tokenized["train"]["input_ids"]] == [8, 3]


@pytest.mark.parametrize("max_length", [None, 1000])
def test_no_text_is_longer_than_the_tokenizer_allows(max_length, tokenizer):
    tokenized = tokenize_texts(one_split(text=["cake " * 200]), tokenizer, max_length=max_length)
    assert len(tokenized["train"]["input_ids"][0]) == tokenizer.model_max_length


def test_padding_to_the_maximum_makes_all_rows_equally_long(raw_splits, tokenizer):
    tokenized = tokenize_texts(raw_splits, tokenizer, padding="max_length", max_length=12)
    assert {len(ids) for dataset in tokenized.values() for ids in dataset["input_ids"]} == {12}


@pytest.mark.parametrize("padding", [False, True, "max_length"])
def test_lengths_are_those_before_texts_are_cut_or_padded(tokenizer, padding):
    texts = ["cake " * words for words in (1, 5, 6, 7, 30, 100)]
    splits = one_split(text=texts)
    train = tokenize_texts(splits, tokenizer, max_length=8, padding=padding, return_length=True)["train"]
    assert train["length"][:] == [words + 2 for words in (1, 5, 6, 7, 30, 100)]
    assert max(map(len, train["input_ids"])) == 8


def test_lengths_are_added_on_demand_alone(raw_splits, tokenizer):
    assert "length" not in tokenize_texts(raw_splits, tokenizer)["train"].column_names


# Sentence pairs


PAIRS = {"premise": ["the cake", "my friend won a medal"], "hypothesis": ["a party", "rage"]}


def test_a_sentence_pair_is_what_the_tokenizer_makes_of_one(tokenizer):
    train = tokenize_texts(one_split(**PAIRS), tokenizer, ["premise", "hypothesis"], sentence_pair=True)["train"]
    for name, rows in tokenizer(PAIRS["premise"], PAIRS["hypothesis"]).items():
        assert train[name][:] == rows
    assert [sum(types) for types in train["token_type_ids"]] == [3, 2]
    separators = [ids.count(tokenizer.sep_token_id) for ids in train["input_ids"]]
    assert separators == [2, 2]


def test_the_longer_sentence_of_a_pair_is_cut(tokenizer):
    splits = one_split(premise=["cake " * 30], hypothesis=["party"])
    train = tokenize_texts(
        splits, tokenizer, ["premise", "hypothesis"], sentence_pair=True, max_length=9, return_length=True
    )["train"]
    assert tokenizer.decode(train["input_ids"][0]) == "[CLS] cake cake cake cake cake [SEP] party [SEP]"
    assert train["length"][:] == [34]


def test_token_types_of_sentence_pairs_reach_the_model(make_trainer, tokenizer):
    splits = one_split(**PAIRS, labels=[0, 1])
    train = tokenize_texts(splits, tokenizer, ["premise", "hypothesis"], sentence_pair=True)["train"]
    trainer = make_trainer(train=train, objective="ce", max_steps=1)
    seen = []
    embeddings = trainer.model.native.bert.embeddings
    embeddings.register_forward_pre_hook(lambda module, args, inputs: seen.append(inputs), with_kwargs=True)
    trainer.train()
    assert sorted(seen[0]["token_type_ids"].sum(dim=1).tolist()) == [2, 3]


@pytest.mark.parametrize("columns", [["premise"], ["premise", "hypothesis", "topic"]])
def test_a_sentence_pair_of_other_than_two_columns_is_refused(columns, tokenizer):
    splits = one_split(premise=["a"], hypothesis=["b"], topic=["c"])
    with pytest.raises(ValueError, match=f"needs two text columns, not {', '.join(columns)}"):
        tokenize_texts(splits, tokenizer, columns, sentence_pair=True)


def test_a_sentence_pair_has_no_view_from_a_function(tokenizer):
    with pytest.raises(ValueError, match="Sentence pairs have no second view"):
        tokenize_texts(
            one_split(**PAIRS), tokenizer, ["premise", "hypothesis"], sentence_pair=True, view_function=shout
        )


# Streams


def streamed(splits: DatasetDict) -> IterableDatasetDict:
    return IterableDatasetDict({split: dataset.to_iterable_dataset() for split, dataset in splits.items()})


def test_streams_are_tokenised_while_they_are_read(raw_splits, tokenizer):
    expected = tokenize_texts(raw_splits, tokenizer, view_function=shout, max_length=8)
    found = tokenize_texts(streamed(raw_splits), tokenizer, view_function=shout, max_length=8)
    assert {split: list(rows) for split, rows in found.items()} == {
        split: list(rows) for split, rows in expected.items()
    }


def test_a_stream_that_does_not_know_its_columns_is_looked_into(raw_splits, tokenizer):
    unknown = streamed(raw_splits).map(lambda row: {"title": row["text"]})
    assert unknown["train"].column_names is None
    assert next(iter(tokenize_texts(unknown, tokenizer, ["title"])["train"]))["input_ids"]
    with pytest.raises(ValueError, match=r"has no text column 'body'; its columns are 'text', 'label', 'title'"):
        tokenize_texts(unknown, tokenizer, ["body"])


def test_a_bad_text_of_a_stream_is_named_when_it_is_read(tokenizer):
    tokenized = tokenize_texts(streamed(one_split(text=["cake"] * 1500 + [""])), tokenizer)
    with pytest.raises(ValueError, match="train split, row 1500, column 'text' is empty"):
        list(tokenized["train"])


# A second view


def shout(text: str) -> str:
    return f"{text} {text}"


@pytest.fixture
def with_paraphrases(raw_splits):
    """Splits in which only the training texts have a paraphrase."""
    train = raw_splits["train"].map(lambda row: {"paraphrase": "cake " + row["text"]})
    return DatasetDict(raw_splits | {"train": train})


def test_a_view_column_is_tokenized_beside_the_texts(with_paraphrases, tokenizer):
    train = tokenize_texts(with_paraphrases, tokenizer, view_column="paraphrase", max_length=8)["train"]
    texts, views = (train[column][:] for column in ("text", "paraphrase"))
    for name, rows in tokenizer(views, truncation=True, max_length=8).items():
        assert train[f"view_{name}"][:] == rows
    assert train["input_ids"][:] == tokenizer(texts, truncation=True, max_length=8)["input_ids"]


def test_a_view_function_gets_the_joined_text(tokenizer):
    splits = one_split(title=["rage"], body=["party cake"])
    train = tokenize_texts(splits, tokenizer, ["title", "body"], view_function=shout)["train"]
    assert train["view_input_ids"][:] == [tokenizer("rage party cake rage party cake")["input_ids"]]


@pytest.mark.parametrize("view", [{"view_column": "paraphrase"}, {"view_function": shout}])
def test_only_the_training_split_gets_views(view, with_paraphrases, tokenizer):
    tokenized = tokenize_texts(with_paraphrases, tokenizer, **view)
    assert {split: "view_input_ids" in dataset.column_names for split, dataset in tokenized.items()} == {
        "train": True,
        "validation": False,
        "test": False,
    }


def test_the_first_split_is_trained_on_where_none_is_called_train(tokenizer):
    tokenized = tokenize_texts(DatasetDict(fold=one_split(text=["rage"])["train"]), tokenizer, view_function=shout)
    assert "view_input_ids" in tokenized["fold"].column_names


# Errors


def test_a_missing_column_lists_those_there_are(tokenizer):
    splits = DatasetDict(train=Dataset.from_dict({"text": ["a"]}), test=Dataset.from_dict({"title": ["a"], "id": [1]}))
    with pytest.raises(ValueError, match=r"test split.*'text'.*'title', 'id'.*text_columns"):
        tokenize_texts(splits, tokenizer)


@pytest.mark.parametrize(
    ("text", "message"), [(None, "holds None"), ("", "is empty"), (" \t\n", "is empty"), (3.5, "holds 3.5")]
)
def test_a_bad_text_is_named_with_split_row_and_column(text, message, tokenizer):
    rows = [{"title": "a", "body": "b"}, {"title": "a", "body": text}]
    splits = DatasetDict(train=Dataset.from_list(rows[:1]), test=Dataset.from_list(rows, on_mixed_types="use_json"))
    with pytest.raises(ValueError, match=f"test split, row 1, column 'body' {message}"):
        tokenize_texts(splits, tokenizer, ["title", "body"])


def test_the_row_of_a_bad_text_is_counted_over_the_whole_split(tokenizer):
    with pytest.raises(ValueError, match="row 2500,"):
        tokenize_texts(one_split(text=["cake"] * 2500 + [None]), tokenizer)


def test_a_missing_view_column_lists_those_there_are(raw_splits, tokenizer):
    with pytest.raises(ValueError, match=r"train split has no view column 'paraphrase'.*'text', 'label'"):
        tokenize_texts(raw_splits, tokenizer, view_column="paraphrase")


@pytest.mark.parametrize(("view", "message"), [(None, "holds None, not a text"), (" ", "is empty")])
def test_a_view_column_with_a_hole_is_named_and_mended_by_the_line_that_the_error_writes(view, message, tokenizer):
    splits = one_split(text=["rage", "cake"], paraphrase=["my rage", view])
    with pytest.raises(ValueError, match=f"train split, row 1, column 'paraphrase' {message}") as error:
        tokenize_texts(splits, tokenizer, view_column="paraphrase")
    exec(str(error.value).split("no second view: ")[1].rstrip("."))
    tokenized = tokenize_texts(splits, tokenizer, view_column="paraphrase")["train"]
    assert tokenized["view_input_ids"][1] == tokenizer("cake")["input_ids"]


@pytest.mark.parametrize(("view", "message"), [(None, "holds None"), ("", "is empty"), (["a"], r"holds \['a'\]")])
def test_a_view_function_that_returns_no_text_is_refused(view, message, tokenizer):
    with pytest.raises(
        ValueError, match=rf"row 0, the view that view_function made {message}.*Return the text itself"
    ):
        tokenize_texts(one_split(text=["rage"]), tokenizer, view_function=lambda text: view)


def test_there_is_one_source_of_second_views(with_paraphrases, tokenizer):
    with pytest.raises(ValueError, match="leave one of them out"):
        tokenize_texts(with_paraphrases, tokenizer, view_column="paraphrase", view_function=shout)


# What stays


def test_foreign_columns_do_not_stay(tokenizer):
    names = ["label_ids", "position_ids", "inputs_embeds", "token_type_ids", "id", "label"]
    splits = one_split(text=["rage"], labels=[0], **{name: [1] for name in names})
    train = tokenize_texts(splits, tokenizer)["train"]
    assert set(train.column_names) == {"text", "labels", "input_ids", "token_type_ids", "attention_mask"}
    assert train["token_type_ids"][:] == [[0, 0, 0]]
    stream = IterableDatasetDict(train=splits["train"].to_iterable_dataset())
    assert next(iter(tokenize_texts(stream, tokenizer)["train"])) == train[0]


def test_a_view_column_stays(tokenizer):
    splits = one_split(text=["rage"], paraphrase=["my rage"], note=["x"])
    train = tokenize_texts(splits, tokenizer, view_column="paraphrase")["train"]
    assert {"paraphrase", "view_input_ids"} <= set(train.column_names)
    assert "note" not in train.column_names


def test_other_content_with_the_same_name_and_time_is_read_anew(tokenizer, tmp_path):
    path, found = tmp_path / "a.csv", []
    for word in ("rage", "cake"):
        path.write_text(f"text\n{word}\n")
        os.utime(path, (1, 1))
        found.append(tokenize_texts(load_splits({"train": path}), tokenizer)["train"]["input_ids"][:])
    assert found == [tokenizer([word])["input_ids"] for word in ("rage", "cake")]


@pytest.mark.parametrize(("text", "message"), [(None, "holds None"), (" ", "is empty")])
def test_the_line_of_a_file_is_named_where_it_is_known(text, message, tokenizer):
    with pytest.raises(ValueError, match=f"The train split, line 7, column 'text' {message}"):
        tokenize_texts(one_split(text=["a", text], __line__=[5, 7]), tokenizer)
