"""The files of a run: a standard classifier, and checkpoints that resume to the last bit."""

import copy
import json

import pytest
import torch
from launching import run_copy

from hf_lcl import LCLForSequenceClassification
from hf_lcl.hub.card_merging import GENERATED


# Runs in a process in which `import hf_lcl` fails.
LOAD = """
import json, sys
sys.modules["hf_lcl"] = None
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
folders, texts = json.loads(sys.argv[1]), json.loads(sys.argv[2])
loaded = []
for folder in folders:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        loaded.append({
            "class": type(model).__name__,
            "problems": [key for kind in report.values() for key in kind],
            "logits": model(**batch).logits,
            "hidden": AutoModel.from_pretrained(folder)(**batch).last_hidden_state,
            "scores": pipeline("text-classification", model=folder, top_k=None)(texts),
        })
torch.save(loaded, sys.argv[3])
"""
TEXTS = ["furious neighbour", "cake at the party today"]


@pytest.mark.slow
def test_the_saved_model_is_a_standard_classifier(make_trainer, tokenizer, bert, tmp_path):
    batch, expected = tokenizer(TEXTS, padding=True, return_tensors="pt"), {}
    for objective, several in (("ce", False), ("lcl", False), ("lcl", True)):
        settings = {"objective": objective, "several": several, "folder": f"{objective}-{several}"}
        trainer = make_trainer(copy.deepcopy(bert), max_steps=2, **settings)
        trainer.train()
        trainer.save_model()
        native = trainer.model.to_sequence_classifier().eval()
        with torch.no_grad():
            logits, hidden = native(**batch).logits, native.bert(**batch).last_hidden_state
        probabilities, names = logits.sigmoid() if several else logits.softmax(dim=1), native.config.id2label.values()
        expected[trainer.args.output_dir] = logits, hidden, [dict(zip(names, row)) for row in probabilities.tolist()]
    command = ["-c", LOAD, json.dumps([*expected]), json.dumps(TEXTS), str(tmp_path / "result.pt")]
    run_copy(command, tmp_path / "printed")
    results = torch.load(tmp_path / "result.pt")
    for loaded, (logits, hidden, probabilities) in zip(results, expected.values(), strict=True):
        assert loaded["class"] == "BertForSequenceClassification"
        assert loaded["problems"] == []
        assert torch.equal(loaded["logits"], logits)
        assert torch.equal(loaded["hidden"], hidden)
        for scores, row in zip(loaded["scores"], probabilities, strict=True):
            assert {one["label"]: one["score"] for one in scores} == pytest.approx(row, abs=1e-5)


def test_the_folder_holds_model_tokenizer_and_card_and_nothing_else(make_trainer, tmp_path):
    make_trainer(objective="lcl").save_model(str(tmp_path / "saved"))
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_the_saved_files_name_no_folder_of_this_machine(make_trainer, tmp_path, encoder_folder):
    trainer = make_trainer(str(encoder_folder), objective="lcl")
    trainer.save_model(str(tmp_path / "saved"))
    for path in (tmp_path / "saved").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_a_card_edited_by_hand_is_kept(make_trainer, tmp_path):
    trainer = make_trainer(objective="lcl")
    trainer.save_model(str(tmp_path / "saved"))
    card = tmp_path / "saved" / "README.md"
    assert GENERATED in card.read_text()
    card.write_text("# My words")
    trainer.save_model(str(tmp_path / "saved"))
    assert card.read_text() == "# My words"


@pytest.mark.parametrize(
    ("weighting", "several"),
    [("head", False), ("encoder", True), pytest.param("encoder", False, marks=pytest.mark.slow)],
)
def test_a_resumed_run_ends_in_the_weights_of_an_uninterrupted_one(make_trainer, weighting, several, bert, tmp_path):
    settings = {
        "objective": "lcl",
        "several": several,
        "weighting": weighting,
        "max_steps": 6,
        "save_strategy": "steps",
        "save_steps": 3,  # in the middle of an epoch
    }
    start = {name: tensor.clone() for name, tensor in bert.state_dict().items()}
    whole = make_trainer(folder="whole", **settings)
    whole.train()
    expected = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}

    bert.load_state_dict(start)
    resumed = make_trainer(folder="resumed", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert resumed.state.global_step == whole.state.global_step == 6
    for name, tensor in resumed.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_a_checkpoint_is_the_whole_wrapper(make_trainer, several, tmp_path):
    trainer = make_trainer(objective="lcl", several=several, max_steps=1, save_strategy="steps", save_steps=1)
    trainer.train()
    model = LCLForSequenceClassification.from_pretrained(tmp_path / "out" / "checkpoint-1")
    assert model.config.has_several_labels == several
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("poisoned", "several", "message"),
    [
        ("logits", True, r"The loss is nan \(loss_ce=nan, loss_weighting="),
        pytest.param(
            "logits", False, r"The loss is nan \(loss_ce=nan, loss_weighting=", marks=pytest.mark.slow, id="logits-one"
        ),
        ("hidden", False, r"embeddings holds NaN .* 16 rows"),
    ],
)
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(
    make_trainer, tmp_path, poisoned, several, message
):
    settings = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 2, "several": several}
    trainer = make_trainer(objective="lcl", **settings)

    def poison(module, args, output):
        if trainer.state.global_step == 3:
            if poisoned == "logits":
                output.logits = output.logits * float("nan")
            else:
                output = output * float("nan")
        return output

    native = trainer.model.native
    module = native if poisoned == "logits" else native.bert.encoder.layer[-1]
    module.register_forward_hook(poison)
    with pytest.raises(FloatingPointError, match=rf"^Stopped at step 4, .*{message}.*checkpoint-2"):
        trainer.train()
    assert all(tensor.isfinite().all() for tensor in trainer.model.state_dict().values())
    kept = LCLForSequenceClassification.from_pretrained(tmp_path / "out" / "checkpoint-2")
    assert all(tensor.isfinite().all() for tensor in kept.state_dict().values())
