"""A run resumes only from complete checkpoints of its own."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hf_lcl import encode_labels, tokenize_texts
from hf_lcl.evaluation.finished import load_training_model, log_history
from hf_lcl.hub import push_folder
from hf_lcl.support.checkpoints import check_checkpoint, checkpoint_of, fault_of, newest_checkpoint, resume_point


SETTINGS = {"objective": "lcl", "save_strategy": "steps", "save_steps": 2, "max_steps": 4}


@pytest.fixture(scope="module")
def finished(trainer_in, tmp_path_factory):
    """A folder with a run of four steps, its two checkpoints and its classifier. Tests must not change it."""
    trainer = trainer_in(tmp_path_factory.mktemp("finished"), **SETTINGS)
    trainer.train()
    trainer.save_model()
    return Path(trainer.args.output_dir)


@pytest.fixture
def out(finished, tmp_path):
    """A copy of that folder, where `make_trainer` trains."""
    return shutil.copytree(finished, tmp_path / "out")


def test_shards_alone_hold_no_configuration_and_are_left_to_their_library(out):
    model = load_training_model(out)
    assert check_checkpoint(out / "checkpoint-4", model.config, "lcl")["weighting"] == "head"
    (out / "checkpoint-4" / "config.json").unlink()
    (out / "checkpoint-4" / "model.safetensors").rename(out / "checkpoint-4" / "pytorch_model_fsdp_0")
    assert fault_of(out / "checkpoint-4") is None
    assert check_checkpoint(out / "checkpoint-4", model.config, "lcl") == {}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_checkpoint_that_is_not_whole_is_passed_over(out, caplog):
    newest = out / "checkpoint-4"
    spare = shutil.copytree(newest, out / "spare")
    assert newest_checkpoint(out) == newest
    files = [path.name for path in newest.iterdir() if path.suffix in (".json", ".safetensors", ".pt", ".pth", ".bin")]
    assert {"model.safetensors", "optimizer.pt", "trainer_state.json", "rng_state.pth"} <= set(files)
    for name in files:
        cut(newest / name)
        caplog.clear()
        assert resume_point("last", out) == str(out / "checkpoint-2")
        told = [record.getMessage() for record in caplog.records]
        assert told == [f"Passed over: {newest} {fault_of(newest)}.", f"Training goes on from {out / 'checkpoint-2'}."]
        assert name in told[0]
        assert ".." not in told[0]
        with pytest.raises(ValueError, match=f"{newest}.* is (not|no) whole"):
            resume_point(str(newest), out)
        shutil.copyfile(spare / name, newest / name)
    assert newest_checkpoint(out) == newest
    (newest / "trainer_state.json").unlink()  # the file that is written last
    assert newest_checkpoint(out) == out / "checkpoint-2"


def test_what_is_no_checkpoint_is_refused_and_the_classifier_stays(out, make_trainer):
    weights = (out / "model.safetensors").read_bytes()
    trainer = make_trainer(objective="lcl", max_steps=4)
    with pytest.raises(ValueError, match=r"out' is no whole checkpoint .* use .*checkpoint-4, or `last`"):
        trainer.train(resume_from_checkpoint=str(out))
    with pytest.raises(ValueError, match="nowhere' is no whole checkpoint"):
        trainer.train(resume_from_checkpoint=str(out / "nowhere"))
    assert (out / "model.safetensors").read_bytes() == weights


def test_the_newest_is_asked_for_and_without_one_training_begins(finished, tmp_path, caplog):
    for asked in (True, "true", "last"):
        caplog.clear()
        assert resume_point(asked, finished) == str(finished / "checkpoint-4")
        assert resume_point(asked, tmp_path) is None
        assert [record.getMessage() for record in caplog.records] == [
            f"Training goes on from {finished / 'checkpoint-4'}.",
            f"{tmp_path} holds no whole checkpoint: training begins anew.",
        ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "ce", "weighting": "head"}, "its objective is 'lcl', that of this run 'ce'"),
        ({"objective": "scl"}, "its objective is 'lcl', that of this run 'scl'"),
        ({"weighting": "classifier"}, "its weighting is 'head', that of this run 'classifier'"),
        ({"several": True}, "its number of labels per text is 'one', that of this run 'any'"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(finished, make_trainer, settings, message):
    trainer = make_trainer(**{"objective": "lcl", "max_steps": 4} | settings)
    with pytest.raises(ValueError, match=f"checkpoint-4 cannot be resumed: {message}"):
        trainer.train(resume_from_checkpoint=str(finished / "checkpoint-4"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: {**names, "4": "bored"}, "its number of classes is 5, that of this run 4"),
        (
            lambda names: {**names, "0": names["1"], "1": names["0"]},
            "class 0 is 'annoyed', that of this run 'angry'",
        ),
    ],
)
def test_a_checkpoint_of_other_classes_is_refused(out, make_trainer, change, message):
    settings = json.loads((out / "checkpoint-4" / "config.json").read_text())
    settings["id2label"] = change(settings["id2label"])
    (out / "checkpoint-4" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=message):
        make_trainer(objective="lcl", max_steps=4).train(resume_from_checkpoint="last")


def test_a_second_run_in_a_folder_has_nothing_of_the_first(out, make_trainer):
    def run(**settings):
        trainer = make_trainer(**SETTINGS | settings)
        trainer.train()
        trainer.save_model()

    first = log_history(out)
    assert checkpoint_of(out) == out / "checkpoint-4"
    assert load_training_model(out) is not None
    run(max_steps=2, learning_rate=1e-2)
    assert checkpoint_of(out) == out / "checkpoint-2"
    assert newest_checkpoint(out) == out / "checkpoint-2"  # though checkpoint-4 has the larger number
    assert log_history(out)[0] != first[0]
    run(max_steps=1, save_strategy="no")
    assert checkpoint_of(out) is None
    assert load_training_model(out) is None
    with pytest.raises(ValueError, match="holds no whole checkpoint-\\* of the run that its classifier comes from"):
        push_folder(out, "me/mine", include_training_state=True)


def test_a_run_that_goes_on_is_the_same_run(out, make_trainer):
    trainer = make_trainer(**SETTINGS | {"save_steps": 1, "max_steps": 5})
    trainer.train(resume_from_checkpoint="last")
    assert [entry["step"] for entry in trainer.state.log_history[:5]] == [1, 2, 3, 4, 5]
    marks = [json.loads((out / f"checkpoint-{step}" / "trainer_state.json").read_text()) for step in (2, 5)]
    assert marks[0]["stateful_callbacks"]["hf_lcl_run"] == marks[1]["stateful_callbacks"]["hf_lcl_run"]


def test_half_a_state_hides_the_log_and_blocks_nothing(out, caplog):
    cut(out / "trainer_state.json")
    assert log_history(out) == []
    assert f"{out / 'trainer_state.json'} is cut or no JSON" in caplog.text


def test_weights_have_the_permissions_of_their_neighbours(finished):
    for folder in (finished, finished / "checkpoint-2"):
        modes = {(folder / name).stat().st_mode & 0o777 for name in ("model.safetensors", "config.json")}
        assert len(modes) == 1


def test_the_tokenizer_is_saved_as_it_came(make_trainer, raw_splits, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "came")
    came = AutoTokenizer.from_pretrained(tmp_path / "came")
    splits = tokenize_texts(encode_labels(raw_splits)[0], came, max_length=8, padding="max_length")
    for resume in (None, "last"):
        trainer = make_trainer(
            tokenizer=came, train=splits["train"], max_steps=2, save_strategy="steps", save_steps=1, head_start=True
        )
        trainer.train(resume_from_checkpoint=resume)
        trainer.save_model()
        for folder in ("", "checkpoint-2"):
            saved = Path(trainer.args.output_dir, folder, "tokenizer.json")
            assert json.loads(saved.read_text()) == json.loads((tmp_path / "came" / "tokenizer.json").read_text())
