"""Uploads and downloads by hf_xet, which is the Hub's default, here with a folder as storage."""

import pytest
import torch
from emulator import Fault
from transformers import AutoModelForSequenceClassification

from hf_lcl.hub import PushError, push_folder


REPO = "anna/feelings"

pytest.importorskip("hf_xet")
pytestmark = pytest.mark.parametrize("hub", ["xet"], indirect=True)


def test_the_numbers_are_those_of_the_trainer(hub, make_trainer, logits, monkeypatch):
    trainer = make_trainer(objective="lcl", max_steps=1, hub_model_id=REPO)
    trainer.train()
    trainer.push_to_hub()
    assert hub.count("GET", "/xet-write-token/") == 1
    assert hub.count("PUT", "/upload/") == 0
    monkeypatch.delenv("HF_TOKEN")
    model, report = AutoModelForSequenceClassification.from_pretrained(REPO, output_loading_info=True)
    assert hub.count("GET", "/xet-read-token/") == 1
    assert not any(report.values())
    assert torch.equal(logits(model), logits(trainer.model))


@pytest.mark.parametrize("action", ["lose", 500, "cut"])
def test_a_commit_that_fails_is_made_once(hub, saved, action):
    hub.faults.append(Fault("POST", "/commit/", action))
    push_folder(saved, REPO)
    assert hub.faults[0].times == 0
    assert hub.commits(REPO) == ["Upload classifier"]
    push_folder(saved, REPO)
    assert len(hub.commits(REPO)) == 1


def test_a_wrong_token_for_the_storage_is_told_in_one_line(hub, saved):
    hub.faults.append(Fault("GET", "/xet-write-token/", 403, times=100))
    with pytest.raises(PushError, match=r"hf-lcl push") as caught:
        push_folder(saved, REPO)
    assert "\n" not in str(caught.value)
    assert hub.commits(REPO) == []
