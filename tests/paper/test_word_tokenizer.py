"""The tokenizer of the recurrent baselines."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer
from word_tokenizer import train_word_tokenizer


TEXTS = [
    "I don't know: the TRAIN is late!",
    "I don't mind; the train was late, again.",
    "See https://example.org/a?b=1 for the train.",
]


def words(text: str, **arguments) -> list[str]:
    return train_word_tokenizer(TEXTS, **{"min_frequency": 1} | arguments).tokenize(text)


def test_texts_fall_into_words_and_punctuation_marks():
    assert words("The train, again! I DON'T") == ["the", "train", ",", "again", "!", "i", "don't"]


def test_case_may_be_kept():
    assert words("the TRAIN Late", lowercase=False) == ["the", "TRAIN", "[UNK]"]


def test_unknown_and_rare_words_are_one_token():
    assert words("the plane is late", min_frequency=2) == ["the", "[UNK]", "[UNK]", "late"]


def test_the_most_frequent_words_are_kept():
    tokenizer = train_word_tokenizer(TEXTS, vocab_size=6, filters=[r"[^\w\s]|https?\S+"])
    assert len(tokenizer) == 6
    assert set(tokenizer.get_vocab()) == {"[PAD]", "[UNK]", "[SEP]", "[MASK]", "the", "train"}


def test_filters_take_parts_out_of_texts():
    assert words("see https://example.org/x for 12 trains", filters=[r"https?://\S+", r"\d+", "trains?"]) == [
        "see",
        "for",
    ]


def test_stop_words_leave_no_trace_and_take_no_part_of_other_words():
    text = "The train don't see THE again"
    assert words(text, stop_words=["The", "don", "again"]) == ["train", "don't", "see"]
    assert words("the again", stop_words=["the", "again"]) == []


def test_batches_are_cut_and_padded():
    tokenizer = train_word_tokenizer(TEXTS, max_length=4)
    batch = tokenizer([TEXTS[0], "late", ""], padding=True, truncation=True, return_tensors="pt")
    assert set(batch) == {"input_ids", "attention_mask"}
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(batch["input_ids"] == tokenizer.pad_token_id, batch["attention_mask"] == 0)


def test_a_pair_has_a_separator(word_tokenizer):
    ids = word_tokenizer("the train", "again late")["input_ids"]
    assert ids.count(word_tokenizer.sep_token_id) == 1
    assert word_tokenizer("the train")["input_ids"].count(word_tokenizer.sep_token_id) == 0


def test_the_order_of_the_texts_does_not_matter(raw_splits, word_tokenizer):
    texts = list(raw_splits["train"]["text"])
    random.Random(0).shuffle(texts)
    assert train_word_tokenizer(texts).get_vocab() == word_tokenizer.get_vocab()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tokenizer with all options, and the one that `AutoTokenizer` loads after saving."""
    tokenizer = train_word_tokenizer(TEXTS, min_frequency=1, filters=[r"https?://\S+"], stop_words=["the", "is"])
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return tokenizer, AutoTokenizer.from_pretrained(folder)


def test_a_saved_tokenizer_is_the_same(saved):
    tokenizer, again = saved
    assert again.get_vocab() == tokenizer.get_vocab()
    assert (again.pad_token_id, again.unk_token_id, again.model_max_length) == (0, 1, 512)
    assert again.padding_side == "right"
    assert again(TEXTS, padding=True)["input_ids"] == tokenizer(TEXTS, padding=True)["input_ids"]


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=40))
def test_a_saved_tokenizer_reads_any_text_alike(saved, text):
    tokenizer, again = saved
    ids = tokenizer(text)["input_ids"]
    assert again(text)["input_ids"] == ids
    assert all(0 <= index < len(tokenizer) for index in ids)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"texts": "the train"}, TypeError, "texts is a single string"),
        ({"texts": ["the train", None]}, TypeError, "texts holds None, not a text"),
        ({"filters": r"\d"}, TypeError, "filters is a single string"),
        ({"filters": ["("]}, ValueError, r"filters holds '\(', which is no regular expression"),
        ({"stop_words": ["of course"]}, ValueError, "'of course', which is not one word"),
        ({"vocab_size": 4}, ValueError, "vocab_size=4 leaves no room"),
        ({"min_frequency": 100}, ValueError, "no word that occurs 100 times"),
        ({"texts": []}, ValueError, "no word that occurs"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        train_word_tokenizer(**{"texts": TEXTS} | arguments)
