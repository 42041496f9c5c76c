"""What a model card reports about the flags of a training."""

import pytest
from datasets import DatasetDict

from hf_lcl.commands.arguments import DataArguments
from hf_lcl.commands.model_arguments import ModelArguments
from hf_lcl.hub.card import render_card
from hf_lcl.hub.card_facts import CardFacts
from hf_lcl.hub.run_facts import trainer_facts


def test_the_encoder_in_a_folder_tells_its_licence(tmp_path):
    facts = ModelArguments(str(tmp_path)).card_facts()
    assert facts == {"finetuned_from": str(tmp_path), "base_license": None}
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# An encoder\n")
    assert ModelArguments(str(tmp_path)).card_facts()["base_license"] == "mit"


@pytest.mark.parametrize(
    "card", [b"---\nlicense: [mit\n---\n", b"---\n- mit\n---\n", "---\nlicense: mit\n---\nWörter".encode("cp1252")]
)
def test_a_card_that_cannot_be_read_tells_no_licence(tmp_path, card):
    (tmp_path / "README.md").write_bytes(card)
    assert ModelArguments(str(tmp_path)).card_facts()["base_license"] is None


def test_an_encoder_that_is_not_here_is_not_asked_for(tmp_path):
    facts = ModelArguments("someone/encoder", cache_dir=str(tmp_path)).card_facts()
    assert facts == {"finetuned_from": "someone/encoder", "base_license": None}


def test_licence_and_examples_are_those_that_were_given_and_none_by_default():
    given = DataArguments(license="apache-2.0", widget_texts=["My card did not arrive."])
    given.encoder_facts = {"finetuned_from": "someone/encoder", "base_license": "mit"}
    card = card_of(given)
    assert card.data.license == "apache-2.0"
    assert card.data.to_dict()["widget"] == [{"text": "My card did not arrive."}]
    assert "Licence: apache-2.0; of the base model: mit." in card.text
    plain = card_of(DataArguments())
    assert "widget" not in plain.data.to_dict()
    assert "Licence: not stated." in plain.text


def card_of(data_args: DataArguments):
    known = trainer_facts(**data_args.card_facts(DatasetDict()))
    return render_card(CardFacts("out", ["a", "b"], **{name: value for name, value in known.items() if value}))
