"""The second view of the papers' systems: a text without some of its words."""

import importlib

import pytest


@pytest.fixture
def drop_words():
    return importlib.import_module("word_dropout").drop_words


@pytest.mark.parametrize(("rate", "left"), [(0.01, 9), (0.1, 9), (0.3, 7), (0.99, 1)])
def test_the_share_goes_and_the_order_stays(drop_words, rate, left):
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    kept = drop_words(" ".join(words), rate).split()
    assert len(kept) == left
    assert kept == [word for word in words if word in kept]


@pytest.mark.parametrize("text", ["", "rage", " rage "])
def test_a_text_of_one_word_stays_as_it_is(drop_words, text):
    assert drop_words(text, 0.9) == text


def test_text_and_seed_decide_which_words_go(drop_words):
    texts = [f"my neighbour was laughing at party {n}" for n in range(50)]
    one, same, other = ([drop_words(text, seed=seed) for text in texts] for seed in (0, 0, 1))
    assert one == same != other
    gone = {word for text, view in zip(texts, one) for word in set(text.split()) - set(view.split())}
    assert gone >= {"my", "neighbour", "was", "laughing", "at", "party"}
