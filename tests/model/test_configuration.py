"""LCLConfig: labels agree with the wrapped configuration, and everything survives a round trip."""

import pytest
from transformers import AutoConfig, BertConfig, ElectraConfig

from hf_lcl import LCLConfig


def test_it_can_be_made_without_arguments():
    assert LCLConfig().text_config.model_type == "bert"


def test_labels_reach_the_wrapped_configuration():
    config = LCLConfig(text_config=ElectraConfig(), id2label={0: "sad", 1: "glad", 2: "angry"})
    assert config.text_config.id2label == config.id2label == {0: "sad", 1: "glad", 2: "angry"}
    assert config.text_config.num_labels == 3


def test_labels_of_the_wrapped_configuration_are_taken_over():
    config = LCLConfig(text_config=BertConfig(id2label={0: "sad", 1: "glad", 2: "angry"}))
    assert config.id2label == {0: "sad", 1: "glad", 2: "angry"}
    assert config.label2id == {"sad": 0, "glad": 1, "angry": 2}


def test_round_trip(tmp_path):
    config = LCLConfig(
        text_config=ElectraConfig(hidden_size=64),
        id2label={0: "sad", 1: "glad", 2: "angry"},
        pooling="mean",
        weighting="encoder",
        special_token_ids=[0, 101, 102],
    )
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(again, LCLConfig)
    assert again.to_dict() == config.to_dict() | {"_name_or_path": again._name_or_path}
    assert again.text_config.hidden_size == 64


def test_another_number_of_labels_is_set_on_both(tmp_path):
    LCLConfig(text_config=ElectraConfig(), num_labels=5).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, num_labels=7)
    assert (config.num_labels, config.text_config.num_labels) == (7, 7)


@pytest.mark.parametrize(("field", "value"), [("pooling", "max"), ("weighting", "oracle")])
def test_unknown_names_are_refused_with_the_known_ones(field, value):
    with pytest.raises(ValueError, match=rf"{field}='{value}' is unknown: use one of 'cls'|'head'"):
        LCLConfig(**{field: value})
