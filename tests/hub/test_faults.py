"""When the Hub fails, the model is on disk, the user gets a one-line error, and a retry duplicates nothing."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from emulator import READ_TOKEN, WRITE_TOKEN, Answer, Fault
from redirection import redirect
from transformers import AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.hub import PushError, push_folder, push_model


REPO = "anna/feelings"
ALWAYS = 1000


@pytest.fixture
def trainer(make_trainer):
    """A trainer with a `hub_model_id`, ready to push."""
    return make_trainer(objective="lcl", hub_model_id=REPO)


@pytest.fixture
def lines(caplog):
    """The log messages of this package."""
    return lambda: [
        record.getMessage() for record in caplog.records if record.name.startswith(("hf_lcl.hub", "hf_lcl.trainer"))
    ]


def change_card(folder: Path) -> None:
    """Changes the card, so that another push has something to upload."""
    with open(folder / "README.md", "a") as card:
        card.write("\nMore.\n")


SHORT = {
    "create_repo 500": Fault("POST", "/repos/create", 500),
    "create_repo 429": Fault("POST", "/repos/create", 429, headers={"Retry-After": "0"}),
    "create_repo cut": Fault("POST", "/repos/create", "cut"),
    "create_repo lost": Fault("POST", "/repos/create", "lose"),
    "info 503": Fault("GET", f"/api/models/{REPO}", 503),
    "validate-yaml 500": Fault("POST", "/validate-yaml", 500),
    "preupload 500": Fault("POST", "/preupload/", 500),
    "batch 500": Fault("POST", "/objects/batch", 500),
    "upload 500": Fault("PUT", "/upload/", 500),
    "upload cut": Fault("PUT", "/upload/", "cut"),
    "upload cut in the middle": Fault("PUT", "/upload/", "cut_body"),
    "verify 500": Fault("POST", "/lfs/verify", 500),
    "commit 500": Fault("POST", "/commit/", 500),
    "commit 429": Fault("POST", "/commit/", 429, times=2),
    "commit cut": Fault("POST", "/commit/", "cut_body"),
    "commit lost": Fault("POST", "/commit/", "lose"),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_short_fault_is_not_noticed(hub, saved, name):
    hub.faults.append(replace(SHORT[name]))
    push_folder(saved, REPO)
    assert hub.faults[0].times == 0, "the fault was met"
    assert hub.commits(REPO) == ["Upload classifier"]
    assert len(hub.sent) == 1, "the weights were taken once"
    for name in ("model.safetensors", "README.md", "tokenizer.json"):
        assert hub.files(REPO)[name] == (saved / name).read_bytes()


LONG = {
    "create_repo 500": (Fault("POST", "/repos/create", 500, ALWAYS), "the Hub answered 500"),
    "create_repo 429": (Fault("POST", "/repos/create", 429, ALWAYS, {"Retry-After": "3600"}), "429"),
    "upload cut": (Fault("PUT", "/upload/", "cut_body", ALWAYS), "Error while uploading 'model.safetensors'"),
    "commit 500": (Fault("POST", "/commit/", 500, ALWAYS), "the Hub answered 500"),
    "commit cut": (Fault("POST", "/commit/", "cut", ALWAYS), "no answer"),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_fault_leaves_the_command(hub, saved, name):
    fault, reason = LONG[name]
    hub.faults.append(replace(fault))
    with pytest.raises(PushError, match=reason) as caught:
        push_folder(saved, REPO)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"Publishing to {REPO} failed: ")
    assert line.endswith(f"The model is in {saved}; to try again: hf-lcl push {saved} {REPO}")

    hub.faults.clear()
    push_folder(saved, REPO)
    assert len(hub.commits(REPO)) == 1
    assert len(hub.sent) == 1
    assert hub.files(REPO)["model.safetensors"] == (saved / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["create_repo 500", "commit cut"])
def test_the_model_is_on_disk_whatever_the_hub_does(hub, trainer, name, logits):
    hub.faults.append(replace(LONG[name][0]))
    folder = trainer.args.output_dir
    with pytest.raises(PushError, match=f"to try again: hf-lcl push {folder} {REPO}$"):
        trainer.push_to_hub()
    assert torch.equal(logits(AutoModelForSequenceClassification.from_pretrained(folder)), logits(trainer.model))
    assert (Path(folder) / "README.md").exists()


def test_the_hub_may_ask_for_a_while(hub, saved, monkeypatch):
    waited = []
    monkeypatch.setattr("hf_lcl.hub.requests.time", SimpleNamespace(sleep=waited.append))
    hub.faults.append(Fault("POST", "/repos/create", 429, headers={"Retry-After": "7"}))
    push_folder(saved, REPO)
    assert waited == [7]


def test_a_commit_of_somebody_else_meanwhile(hub, saved, monkeypatch):
    push_folder(saved, REPO)
    answer = hub.answer

    def meanwhile(method, url, *others):
        if "/preupload/" in url and len(hub.commits(REPO)) == 1:
            hub.write(REPO, "notes.txt", "from the website")
        return answer(method, url, *others)

    monkeypatch.setattr(hub, "answer", meanwhile)
    change_card(saved)
    push_folder(saved, REPO)
    assert hub.commits(REPO) == ["Upload classifier", "Update notes.txt", "Upload classifier"]
    assert "notes.txt" in hub.files(REPO)


def test_a_commit_that_is_made_late_is_not_made_twice(hub, saved, monkeypatch):
    answer, held = hub.answer, []

    def late(method, url, *others):
        if "/commit/" in url and not held:
            held.append((method, url, *others))
            raise Answer(504, {"error": "Gateway Timeout"})
        if "/commit/" in url and len(held) == 1:
            held.append(answer(*held[0]))
        return answer(method, url, *others)

    monkeypatch.setattr(hub, "answer", late)
    push_folder(saved, REPO)
    assert held[1].status == 200
    assert hub.commits(REPO) == ["Upload classifier"]


@pytest.mark.parametrize(("method", "action"), [("HEAD", 503), ("HEAD", "cut"), ("GET", 500)])
def test_a_card_that_could_not_be_read_is_never_replaced_by_mistake(hub, saved, bert, method, action):
    push_folder(saved, REPO)
    hub.write(REPO, "README.md", "# My words")
    (saved / "config.json").write_text((saved / "config.json").read_text() + "\n")
    hub.faults.append(Fault(method, "/resolve/.*README.md", action, ALWAYS))
    with pytest.raises(PushError):
        push_folder(saved, REPO)
    push_model(LCLForSequenceClassification.from_native(bert), REPO)
    assert hub.files(REPO)["README.md"] == b"# My words"
    hub.faults.clear()
    push_folder(saved, REPO)
    assert hub.files(REPO)["README.md"] == b"# My words"
    assert hub.files(REPO)["config.json"] == (saved / "config.json").read_bytes()


class TestNoRight:
    """Permanent faults are reported at once, in the constructor."""

    @pytest.mark.parametrize(
        ("token", "repo", "reason"),
        [
            ("hf_" + "x" * 34, REPO, "does not accept the token"),
            (READ_TOKEN, REPO, "the token may not write there .*write access"),
            (WRITE_TOKEN, "somebody/else", "the token may not write there .*'somebody'"),
            (WRITE_TOKEN, "anna/feel ings", "Repo id must"),
        ],
    )
    def test_it_is_told_before_the_training(self, hub, make_trainer, token, repo, reason):
        with pytest.raises(PushError, match=reason) as caught:
            make_trainer(push_to_hub=True, hub_model_id=repo, hub_token=token)
        assert token not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(hub.requests) <= 2, "no second attempt"

    def test_no_token(self, hub, trainer, monkeypatch):
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(PushError, match="there is no token: run `hf auth login`"):
            trainer.push_to_hub()
        assert (Path(trainer.args.output_dir) / "model.safetensors").exists()

    def test_a_token_that_may_only_read_what_is_there(self, hub, saved):
        push_folder(saved, REPO)
        change_card(saved)
        with pytest.raises(PushError, match="the token may not write there"):
            push_folder(saved, REPO, token=READ_TOKEN)
        assert len(hub.commits(REPO)) == 1


class TestTraining:
    """A training continues when a push fails."""

    def run(self, make_trainer):
        trainer = make_trainer(
            max_steps=3,
            save_strategy="steps",
            save_steps=1,
            push_to_hub=True,
            hub_model_id=REPO,
            hub_always_push=True,
        )
        trainer.train()
        assert trainer.state.global_step == 3
        return trainer

    def test_it_goes_on_without_a_repository(self, hub, make_trainer, lines):
        hub.faults.append(Fault("POST", "/repos/create", 500, times=4))
        self.run(make_trainer)
        assert [line for line in lines() if "the Hub answered 500" in line and line.endswith("Training goes on.")]
        assert len(hub.commits(REPO)) == 3

    def test_a_push_in_the_background_that_fails_is_told(self, hub, make_trainer, lines):
        hub.faults.append(Fault("POST", "/commit/", 500, times=4))
        trainer = self.run(make_trainer)
        failed = [line for line in lines() if "failed: the Hub answered 500" in line]
        assert len(failed) == 1
        assert failed[0].endswith(f"hf-lcl push {trainer.args.output_dir} {REPO}")
        assert hub.commits(REPO) == ["Training in progress, step 2", "Training in progress, step 3"]

    def test_the_last_one_that_fails_can_be_pushed_by_the_command(self, hub, make_trainer, lines, logits, tmp_path):
        hub.faults.append(Fault("PUT", "/upload/", 500, ALWAYS))
        trainer = self.run(make_trainer)
        assert isinstance(trainer.push_in_progress.jobs[0].exception(), PushError)
        assert len([line for line in lines() if "Error while uploading" in line]) == 3
        hub.faults.clear()
        push_folder(trainer.args.output_dir, REPO)
        weights = tmp_path / "weights"
        weights.mkdir()
        for name in ("config.json", "model.safetensors"):
            (weights / name).write_bytes(hub.files(REPO)[name])
        assert torch.equal(logits(AutoModelForSequenceClassification.from_pretrained(weights)), logits(trainer.model))

    @pytest.mark.parametrize("offline", [False, True])
    def test_without_a_network(self, make_trainer, monkeypatch, lines, tmp_path, offline):
        monkeypatch.setattr("hf_lcl.hub.requests.WAITS_SECONDS", (0.01,))
        redirect(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        trainer = self.run(make_trainer)
        reason = "offline mode is on" if offline else "no answer, ConnectError"
        assert len([line for line in lines() if reason in line]) == 4, "the constructor and three pushes"
        trainer.save_model()
        assert len([line for line in lines() if reason in line]) == 5
        with pytest.raises(PushError, match=reason):
            trainer.push_to_hub()
        assert AutoModelForSequenceClassification.from_pretrained(trainer.args.output_dir)

    def test_a_push_that_nobody_waits_for(self, hub, trainer, lines):
        hub.faults.append(Fault("POST", "/commit/", 500, ALWAYS))
        job = trainer.push_to_hub(blocking=False)
        assert isinstance(job.exception(timeout=60), PushError)
        assert len(lines()) == 1


def test_the_command_keeps_what_is_private_private(hub, make_trainer):
    trainer = make_trainer(hub_model_id=REPO, hub_private_repo=True, hub_revision="second try", folder="my runs")
    hub.faults.append(Fault("POST", "/repos/create", 500, ALWAYS))
    with pytest.raises(PushError) as caught:
        trainer.push_to_hub()
    folder = trainer.args.output_dir
    assert str(caught.value).endswith(f"push '{folder}' {REPO} --private --revision 'second try'")
