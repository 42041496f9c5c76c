"""`calibrate`: adds a class for out-of-scope texts, which plain transformers predicts, and removes it."""

import csv
import io
import json
import re
import shlex
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from launching import run_copy
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    pipeline,
)

from hf_lcl import LCLForSequenceClassification
from hf_lcl.__main__ import main


NAMES = ["angry", "annoyed", "glad", "proud"]
FOREIGN = ["a b c d e", "xyz uvw rst", "o p q", "m n o p q r s", "zzz yyy", "k l m", "q q q q", "i j k l"]


@pytest.fixture
def oos(tmp_path) -> str:
    path = tmp_path / "oos.csv"
    path.write_text("id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(FOREIGN * 2)))
    return str(path)


@pytest.fixture
def calibrate(plain, files):
    def calibrate(rule, *others, validation=files["validation"]):
        main(["calibrate", str(plain), "--validation_file", str(validation), f"--out_of_scope={rule}", *others])

    return calibrate


def answers(folder, texts):
    return [found["label"] for found in pipeline("text-classification", model=str(folder), device="cpu")(texts)]


def logits(folder, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])


def test_validation_texts_keep_a_class_and_the_rest_is_as_it_was(plain, calibrate, raw_splits, capsys):
    texts = raw_splits["validation"]["text"][:]
    before, were = logits(plain, texts), load_file(plain / "model.safetensors")
    calibrate("keep=0.75")
    assert "out of scope (keep=0.75): below the logit " in (printed := capsys.readouterr().out)
    assert "75.0% of 24 validation texts keep a class" in printed
    config = AutoConfig.from_pretrained(plain)
    assert config.id2label == dict(enumerate([*NAMES, "out_of_scope"]))
    assert config.label2id == {name: index for index, name in config.id2label.items()}
    fitted = config.out_of_scope
    after = logits(plain, texts)
    torch.testing.assert_close(after[:, :4], before / fitted["temperature"])
    assert (after.argmax(dim=1) < 4).float().mean() == fitted["kept"] == 0.75
    kept = after.argmax(dim=1) < 4
    assert torch.equal(after.argmax(dim=1)[kept], before.argmax(dim=1)[kept])

    # Another rule replaces the class, and `none` restores the classifier.
    calibrate("keep=0.5")
    after = logits(plain, texts)
    assert (after.argmax(dim=1) < 4).float().mean() == 0.5
    main(["calibrate", str(plain), "--out_of_scope", "none"])
    now = load_file(plain / "model.safetensors")
    assert now.keys() == were.keys()
    for name, tensor in now.items():
        torch.testing.assert_close(tensor, were[name], rtol=1e-6, atol=1e-7)
    config = json.loads((plain / "config.json").read_text())
    assert "out_of_scope" not in config
    assert list(config["id2label"].values()) == NAMES


def test_the_last_line_is_a_command_that_a_shell_reads(plain, files, tmp_path, capsys):
    folder = str(plain.rename(tmp_path / "my model"))
    main(["calibrate", folder, "--validation_file", files["validation"], "--out_of_scope=keep=0.75"])
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("To measure it: ")
    assert shlex.split(command) == ["hf-lcl", "report", folder, "--test_file", "FILE"]


def test_out_of_scope_texts_are_found_and_may_stand_among_the_labelled_ones(plain, calibrate, files, oos, tmp_path):
    main(
        [
            "calibrate",
            str(plain),
            "--validation_file",
            files["validation"],
            "--out_of_scope=recall=0.9",
            "--oos_file",
            oos,
        ]
    )
    first = AutoConfig.from_pretrained(plain).out_of_scope
    assert answers(plain, FOREIGN * 2).count("out_of_scope") == round(first["found"] * 16) >= 15
    # The same texts with a label.
    labelled = tmp_path / "labelled.jsonl"
    rows = "".join(json.dumps({"text": text, "label": "out_of_scope"}) + "\n" for text in FOREIGN * 2)
    labelled.write_text(Path(files["validation"]).read_text() + rows)
    calibrate("f1", validation=labelled)  # which needs no other file
    assert AutoConfig.from_pretrained(plain).out_of_scope["rule"] == "f1"
    calibrate("recall=0.9", "--oos_file", oos, validation=labelled)
    second = AutoConfig.from_pretrained(plain).out_of_scope
    assert second["oos_texts"] == 2 * first["oos_texts"] == 32
    assert second["cut"] == pytest.approx(first["cut"], rel=1e-5)
    calibrate("f1", "--oos_file", oos)
    assert AutoConfig.from_pretrained(plain).out_of_scope["rule"] == "f1"


def test_all_commands_answer_as_the_pipeline_does(plain, calibrate, files, oos, tmp_path, raw_splits):
    calibrate("f1", "--oos_file", oos)
    texts, labels = raw_splits["test"]["text"][:], raw_splits["test"]["label"][:]
    expected = answers(plain, [*texts, *FOREIGN])
    assert {"out_of_scope"} < {*expected}
    test = tmp_path / "both.csv"
    with open(test, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([*zip(texts, labels), *((text, "out_of_scope") for text in FOREIGN)])
    main(["predict", str(plain), str(test), "--output_file", str(tmp_path / "out.jsonl"), "--reject_below", "0.5"])
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["predicted_label"] for line in lines] == expected
    for name, true in (("both.csv", [*labels, *["out_of_scope"] * len(FOREIGN)]), (files["test"], labels)):
        main(["evaluate", str(plain), "--test_file", str(tmp_path / name), "--output_file", str(tmp_path / "a.json")])
        found = json.loads((tmp_path / "a.json").read_text())
        assert found["accuracy"] == pytest.approx(np.mean([one == other for one, other in zip(true, expected)]))
        assert [row["label"] for row in found["per_class"]] == [*NAMES, "out_of_scope"]


def test_what_cannot_have_the_class_is_left_alone(plain, files, bert, tmp_path, fails):
    def refused(*others, folder=plain, rule="keep=0.75"):
        before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        message = fails(
            ["calibrate", str(folder), f"--out_of_scope={rule}", "--validation_file", files["validation"], *others]
        )
        assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
        return message

    assert "needs 34 validation texts or more, and there are 24. Give more in --validation_file" in refused(
        rule="keep=0.97"
    )
    assert "'keep=95' is no rule: use keep=0.95, recall=0.9, f1 or none" in refused(rule="keep=95")
    assert "--out_of_scope f1 needs texts of no class: give --oos_file" in refused(rule="f1")
    assert "has no class out_of_scope that calibrate gave it" in refused(rule="none")
    assert "not trained on: give --validation_file" in fails(["calibrate", str(plain), "--out_of_scope=keep=0.9"])
    assert "nothing to do: give --out_of_scope" in fails(["calibrate", str(plain)])
    assert "holds no model" in fails(["calibrate", str(tmp_path), "--out_of_scope=keep=0.9"])

    def other(model, name):
        shutil.copytree(plain, tmp_path / name)
        model.config.id2label = dict(enumerate(NAMES))
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    config = GPT2Config(
        vocab_size=200, n_embd=32, n_layer=1, n_head=2, num_labels=4, pad_token_id=0, bos_token_id=1, eos_token_id=1
    )
    message = refused(folder=other(GPT2ForSequenceClassification(config), "gpt2"))
    assert "has no bias that could hold the cut: predict --reject_below P works for every model" in message
    message = refused(folder=other(LCLForSequenceClassification.from_native(bert), "wrapper"))
    assert "holds a training model: name the folder that trainer.save_model() wrote" in message
    (tmp_path / "gpt2" / "adapter_config.json").write_text("{}")
    assert "holds an adapter, not a whole classifier" in refused(folder=tmp_path / "gpt2")
    config = json.loads((plain / "config.json").read_text())
    names = dict(enumerate([*NAMES[:3], "out_of_scope"]))
    new = config | {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    (plain / "config.json").write_text(json.dumps(new))
    assert "There is a class out_of_scope already, which is learned from texts like the others" in refused()


@pytest.mark.slow
def test_a_process_without_this_library_gives_the_answer(plain, calibrate, oos):
    calibrate("f1", "--oos_file", oos)
    code = f"""
import sys
from transformers import pipeline
classify = pipeline("text-classification", model={str(plain)!r}, device="cpu")
print([found["label"] for found in classify({FOREIGN!r})], "hf_lcl" in sys.modules)
"""
    printed = run_copy(["-c", code], plain.parent / "printed")
    expected = answers(plain, FOREIGN)
    assert printed.splitlines()[-1] == f"{expected} False"
    assert "out_of_scope" in expected


@pytest.fixture(scope="module")
def trained(flags_into, tmp_path_factory):
    """A folder that `train --out_of_scope` has written into, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("scope"), io.StringIO()
    (folder / "oos.txt").write_text("".join(f"{text}\n" for text in FOREIGN))
    flags = [*flags_into(folder / "out"), "--do_train", "--do_eval", "--do_predict", "--out_of_scope=keep=0.75"]
    saved = ["--save_strategy=steps", "--save_steps=10", "--max_steps=10", f"--oos_file={folder / 'oos.txt'}"]
    with redirect_stdout(printed):
        main(["train", *flags, *saved])
    return SimpleNamespace(folder=folder / "out", printed=printed.getvalue(), oos=str(folder / "oos.txt"))


@pytest.mark.slow
def test_train_writes_what_its_classifier_answers(trained, raw_splits):
    assert "out of scope (keep=0.75): below the logit" in trained.printed
    folder, texts = trained.folder, raw_splits["test"]["text"][:]
    expected = answers(folder, texts)
    lines = (folder / "predict_results.txt").read_text().splitlines()[1:]
    assert [line.split("\t")[1] for line in lines] == expected
    results = json.loads((folder / "all_results.json").read_text())
    right = np.mean([one == other for one, other in zip(expected, raw_splits["test"]["label"])])
    assert results["predict_accuracy"] == pytest.approx(right)
    right = np.mean(
        np.array(answers(folder, raw_splits["validation"]["text"][:])) == raw_splits["validation"]["label"]
    )
    assert results["eval_accuracy"] == pytest.approx(right)
    with open(folder / "predictions.csv", encoding="utf-8", newline="") as file:
        assert {row["text"]: row["prediction"] for row in csv.DictReader(file)} == dict(zip(texts, expected))


@pytest.mark.slow
def test_the_card_says_so_and_the_checkpoints_are_as_they_were(trained):
    card = (trained.folder / "README.md").read_text(encoding="utf-8")
    assert "A text classifier with 4 classes" in card
    assert "| 4 | out_of_scope |" in card
    assert "(`keep=0.75`), after all others were divided by the temperature" in card
    assert "It always predicts one of its classes" not in card
    wrapper = LCLForSequenceClassification.from_pretrained(trained.folder / "checkpoint-10")
    assert list(wrapper.config.id2label.values()) == NAMES
    assert wrapper.native.classifier.out_features == 4


@pytest.mark.usefixtures("without_pictures")
def test_training_does_not_begin_where_the_class_cannot_be_had(training_flags, files, fails, tmp_path):
    def refused(*flags, without=()):
        kept = [flag for flag in training_flags if not flag.startswith(without)] if without else training_flags
        message = fails(["train", *kept, *flags])
        assert not list(tmp_path.glob("out/*"))
        return message

    assert "needs 34 validation texts or more, and there are 24" in refused("--do_train", "--out_of_scope=keep=0.97")
    message = refused("--do_train", "--out_of_scope=keep=0.9", without=("--validation_file",))
    assert "give --validation_file or --validation_split" in message
    assert "give --do_train, or use hf-lcl calibrate" in refused("--do_eval", "--out_of_scope=keep=0.9")
    rows = Path(files["train"]).read_text()
    (tmp_path / "several.jsonl").write_text(re.sub(r'"label":\s*("\w+")', r'"label": [\1, "loud"]', rows))
    several = [f"--{split}_file={tmp_path / 'several.jsonl'}" for split in ("train", "validation")]
    message = refused("--do_train", "--out_of_scope=keep=0.9", *several, without=("--test_file",))
    assert "out_of_scope is for one label per text" in message
    rows = rows.replace('"proud"', '"out_of_scope"')
    (tmp_path / "named.jsonl").write_text(rows)
    validation = [f"--validation_file={tmp_path / 'named.jsonl'}", f"--train_file={tmp_path / 'named.jsonl'}"]
    message = refused("--do_train", "--out_of_scope=keep=0.9", *validation, without=("--test_file",))
    assert "There is a class out_of_scope already" in message


@pytest.mark.slow
def test_the_graph_gives_the_answers_of_the_pipeline(plain, calibrate, oos, files, raw_splits, tmp_path):
    calibrate("f1", "--oos_file", oos)
    main(["export", str(plain), str(tmp_path / "graph")])
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join([*raw_splits["test"]["text"][:], *FOREIGN]) + "\n")
    main(["predict", str(tmp_path / "graph"), str(texts), "--output_file", str(tmp_path / "graph.jsonl")])
    found = [json.loads(line)["label"] for line in (tmp_path / "graph.jsonl").read_text().splitlines()]
    assert found == answers(plain, texts.read_text().splitlines())
    assert {"out_of_scope"} < {*found}


@pytest.mark.usefixtures("without_pictures")
def test_a_comparison_counts_answers_out_of_scope(flags_into, tmp_path):
    flags = [flag for flag in flags_into(tmp_path / "compared") if not flag.startswith("--save_strategy")]
    main(["compare", *flags, "--objectives=ce", "--seeds=0", "--out_of_scope=keep=0.75"])
    run = json.loads((tmp_path / "compared" / "runs.jsonl").read_text())
    assert run["settings"]["data"]["out_of_scope"] == "keep=0.75"
    assert 4 in run["predictions"]


def test_several_labels_have_no_such_class(plain, calibrate, fails, files):
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    message = fails(["calibrate", str(plain), "--validation_file", files["validation"], "--out_of_scope=keep=0.9"])
    assert "gives a text any number of labels, and this command needs one for each" in message
