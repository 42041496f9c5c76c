"""Merging a card on the Hub that people have edited with a new one."""

import pytest

from hf_lcl.hub import CardFacts, render_card
from hf_lcl.hub.card_merging import card_to_publish


def generated(accuracy: float = 0.5, **facts) -> str:
    settings = {"seed": 0, "alpha": 0.5, "temperature": 0.3}
    return str(render_card(CardFacts("me/mine", ["glad", "sad"], "lcl", settings, {"accuracy": accuracy}, **facts)))


def test_one_that_nobody_changed_is_replaced():
    assert card_to_publish(generated(0.5), generated(0.75)) == generated(0.75)
    mine = generated(0.75) + "\n## My words\n"
    assert card_to_publish(generated(0.5), mine) == mine


def test_words_that_were_added_on_the_hub_stay_and_the_results_are_new():
    card = card_to_publish(generated(0.5) + "\n## My words\n", generated(0.75))
    assert "## My words" in card
    assert "0.7500" in card
    assert "0.5000" not in card


def test_a_part_that_was_changed_on_the_hub_stays():
    changed = generated(0.5).replace("| 1 | sad |", "| 1 | sad, but not very |")
    assert "sad, but not very" in card_to_publish(changed, generated(0.75))


def test_metadata_that_was_changed_on_the_hub_stays():
    changed = generated(0.5).replace("library_name: transformers", "library_name: transformers\nlicense: mit")
    card = card_to_publish(changed, generated(0.75))
    assert "license: mit" in card
    assert "0.7500" in card


def test_one_written_by_hand_stays():
    assert card_to_publish("# My words", generated()) == "# My words"


def test_one_of_metadata_alone_is_filled_and_keeps_it():
    card = card_to_publish("---\nlicense: mit\n---\n", generated())
    assert "license: mit" in card
    assert "pipeline_tag: text-classification" in card
    assert "| 1 | sad |" in card


def test_one_written_by_hand_here_replaces_it():
    assert card_to_publish(generated() + "\n## My words\n", "# Others") == "# Others"


@pytest.mark.parametrize("theirs", ["\n## My words\n", "\n## Their words\n"])
def test_words_here_and_there_are_told_of_where_they_differ(theirs, caplog):
    card = card_to_publish(generated(0.5) + theirs, generated(0.75) + "\n## My words\n")
    assert theirs.strip() in card
    assert ("the one on the Hub stays" in caplog.text) == ("Their" in theirs)
