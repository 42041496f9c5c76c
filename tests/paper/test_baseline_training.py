"""Recurrent baselines through the trainer: they learn, resume, and are loaded where hf_lcl is not installed."""

import json
from pathlib import Path

import build_baseline as build_command
import pytest
import torch
from baselines import build_baseline
from launching import run_copy

from hf_lcl import LCLForSequenceClassification
from hf_lcl.__main__ import main
from hf_lcl.commands.exits import one_line_errors


# Runs in a process in which `import hf_lcl` fails.
LOAD = """
import json, sys
sys.modules["hf_lcl"] = None
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
folder, texts = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model, report = AutoModelForSequenceClassification.from_pretrained(
    folder, trust_remote_code=True, output_loading_info=True
)
encoder = AutoModel.from_pretrained(folder, trust_remote_code=True)
classify = pipeline("text-classification", model=folder, trust_remote_code=True)
batch = tokenizer(texts, padding=True, return_tensors="pt")
model.save_pretrained(sys.argv[3])
again = AutoModelForSequenceClassification.from_pretrained(sys.argv[3], trust_remote_code=True)
with torch.no_grad():
    torch.save({
        "problems": [key for kind in report.values() for key in kind],
        "logits": model(**batch).logits,
        "logits_again": again(**batch).logits,
        "hidden": encoder(**batch).last_hidden_state,
        "labels": [result["label"] for result in classify(texts)],
    }, sys.argv[4])
"""
TEXTS = ["Furious neighbour!", "cake at the party today", ""]


@pytest.fixture
def make_baseline_trainer(make_trainer, word_splits, word_tokenizer):
    def make(model, **settings):
        return make_trainer(model, train=word_splits["train"], tokenizer=word_tokenizer, **settings)

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "objective", "weighting"),
    [
        ("lstm", "ce", "none"),
        ("gru", "scl", "none"),
        ("lstm", "lcl", "head"),
        ("gru", "lcl", "encoder"),
        ("rnn", "lcl", "classifier"),
    ],
)
def test_it_learns(make_baseline_trainer, make_classifier, word_splits, kind, objective, weighting):
    native = make_classifier(kind, bidirectional=kind != "gru")  # an RNN forgets the first words
    model = LCLForSequenceClassification.from_native(native, weighting=weighting)
    trainer = make_baseline_trainer(model, objective=objective, num_train_epochs=25, learning_rate=1e-2)
    assert trainer.evaluate(word_splits["test"])["eval_accuracy"] < 0.6
    trainer.train()
    metrics = trainer.evaluate(word_splits["test"])
    assert metrics["eval_accuracy"] > 0.95
    assert objective == "ce" or metrics["eval_positive_similarity"] > metrics["eval_negative_similarity"] + 0.5


@pytest.mark.parametrize(
    "settings",
    [
        {"mini_batch_size": 5},
        {"num_views": 2},
        {"bf16": True},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_it_trains_with_what_the_trainer_offers(make_baseline_trainer, make_classifier, settings):
    trainer = make_baseline_trainer(make_classifier(), objective="scl", max_steps=4, **settings)
    trainer.train()
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())


def test_gradient_caching_ends_in_the_same_weights(make_baseline_trainer, make_classifier):
    ends = []
    for size in (None, 5):
        trainer = make_baseline_trainer(
            make_classifier(dropout=0.0), objective="lcl", max_steps=3, mini_batch_size=size, optim="sgd"
        )
        trainer.train()
        ends.append(trainer.model.state_dict())
    for name, weight in ends[0].items():
        assert torch.allclose(weight, ends[1][name], atol=1e-6), name


def test_a_resumed_run_ends_in_the_weights_of_an_uninterrupted_one(make_baseline_trainer, make_classifier, tmp_path):
    settings = {"objective": "lcl", "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 3}
    whole = make_baseline_trainer(make_classifier("lstm"), folder="whole", **settings)
    whole.train()
    resumed = make_baseline_trainer(make_classifier("lstm"), folder="resumed", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert resumed.state.global_step == whole.state.global_step == 8
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


@pytest.mark.slow
def test_the_saved_classifier_loads_where_hf_lcl_is_not_installed(
    make_baseline_trainer, make_classifier, word_tokenizer, tmp_path
):
    trainer = make_baseline_trainer(make_classifier(bidirectional=True), objective="lcl", max_steps=2)
    trainer.train()
    trainer.save_model()
    folder, copy, result = Path(trainer.args.output_dir), tmp_path / "copy", tmp_path / "result.pt"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "model.safetensors",
        "recurrent.py",
        "tokenizer.json",
        "tokenizer_config.json",
        "trainer_state.json",
    }
    run_copy(["-c", LOAD, str(folder), json.dumps(TEXTS), str(copy), str(result)], tmp_path / "printed")
    loaded = torch.load(result)

    native = trainer.model.to_sequence_classifier().eval()
    batch = word_tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits, hidden = native(**batch).logits, native.model(**batch).last_hidden_state
    assert loaded["problems"] == []
    assert torch.equal(loaded["logits"], logits)
    assert torch.equal(loaded["logits_again"], logits)
    assert torch.equal(loaded["hidden"], hidden)
    assert loaded["labels"] == [native.config.id2label[index] for index in logits.argmax(dim=1).tolist()]


def test_what_is_built_is_the_same_each_time(raw_splits, tmp_path):
    texts = raw_splits["train"]["text"]
    first, second = (
        build_baseline("gru", texts, tmp_path / name, embedding_size=24, hidden_size=32) for name in ("1", "2")
    )
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_the_documented_commands(files, tmp_path, capsys):
    folder, out = str(tmp_path / "gru"), tmp_path / "out"
    sizes = ("--embedding_size=24", "--hidden_size=32")
    build_command.main(["--kind=gru", f"--train_file={files['train']}", f"--output_dir={folder}", *sizes])
    assert capsys.readouterr().out.startswith(f"{folder}: a gru of ")
    command = ["train", f"--model_name_or_path={folder}", "--trust_remote_code", f"--output_dir={out}"]
    command += [f"--{name}_file={path}" for name, path in files.items()]
    command += ["--objective=lcl", "--do_train", "--do_eval", "--do_predict", "--use_cpu", "--num_train_epochs=15"]
    main([*command, "--learning_rate=1e-2", "--per_device_train_batch_size=16", "--save_strategy=no"])
    assert json.loads((out / "all_results.json").read_text())["predict_accuracy"] > 0.95
    assert (out / "recurrent.py").is_file()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kind=cnn"], "error: --kind 'cnn' is unknown: use one of 'rnn', 'gru', 'lstm'."),
        (["--kind=gru", "--train_file=none.jsonl"], "error: The train file none.jsonl does not exist."),
        (
            ["--kind=gru", "--text_column_names=title"],
            "error: The train file {folder}/train.jsonl has no text column 'title'",
        ),
    ],
)
def test_the_command_ends_in_one_line_for_bad_input(files, tmp_path, flags, message):
    with pytest.raises(SystemExit) as ended, one_line_errors():
        build_command.main([f"--train_file={files['train']}", f"--output_dir={tmp_path}/out", *flags])
    assert str(ended.value).startswith(message.replace("{folder}", str(tmp_path)))
    assert "\n" not in str(ended.value)
    assert not (tmp_path / "out").exists()
