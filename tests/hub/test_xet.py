"""The way that most users' files take: sent and read by hf_xet itself, against a storage that it keeps in a folder."""

import pytest
import torch
from emulator import Fault

from hf_lcl.hub import PushError, push_folder


REPO = "anna/feelings"

pytest.importorskip("hf_xet")
pytestmark = pytest.mark.parametrize("hub", ["xet"], indirect=True)


@pytest.mark.slow
def test_the_numbers_are_those_of_the_trainer(hub, make_trainer, read, logits):
    trainer = make_trainer(objective="lcl", num_train_epochs=1, hub_model_id=REPO)
    trainer.train()
    trainer.push_to_hub()
    assert hub.count("GET", "/xet-write-token/") == 1
    assert hub.count("PUT", "/upload/") == 0
    found = read(hub, REPO)
    assert hub.count("GET", "/xet-read-token/") == 1
    assert found["problems"] == []
    assert torch.equal(found["logits"], logits(trainer.model))


@pytest.mark.parametrize("action", ["lose", 500, "cut"])
def test_a_commit_that_fails_is_made_once(hub, make_trainer, action):
    trainer = make_trainer(objective="lcl", hub_model_id=REPO)
    hub.faults.append(Fault("POST", "/commit/", action))
    trainer.push_to_hub()
    assert hub.faults[0].times == 0
    assert hub.commits(REPO) == ["End of training"]
    push_folder(trainer.args.output_dir, REPO)
    assert len(hub.commits(REPO)) == 1


def test_a_wrong_token_for_the_storage_is_told_in_one_line(hub, make_trainer):
    trainer = make_trainer(objective="lcl", hub_model_id=REPO)
    hub.faults.append(Fault("GET", "/xet-write-token/", 403, times=100))
    with pytest.raises(PushError, match=r"python -m hf_lcl push") as caught:
        trainer.push_to_hub()
    assert "\n" not in str(caught.value)
    assert hub.commits(REPO) == []
