"""The report on a finished model: all of its files, for any classifier, and no text in any of them."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import softmax
from transformers import AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.__main__ import main
from hf_lcl.evaluation import expected_calibration_error
from hf_lcl.evaluation.inference import ModelOutputs, run_model
from hf_lcl.evaluation.report import write_report
from hf_lcl.evaluation.report.sections import Evaluated, relations_section
from hf_lcl.evaluation.summary import read_summary, write_summary
from hf_lcl.hub.card_merging import PART


NAMES = ["angry", "annoyed", "glad", "proud"]


@pytest.fixture
def finished(make_trainer, tmp_path):
    """A folder with a finished classifier, a card, and the checkpoint of its training model."""
    trainer = make_trainer(objective="lcl", num_train_epochs=1, save_strategy="epoch", learning_rate=3e-3)
    for config in (trainer.model.config, trainer.model.config.text_config):
        config.id2label = dict(enumerate(NAMES))
    # One epoch teaches a weighting network nothing: this one is sure of itself, be it right or wrong.
    for parameter in trainer.model.weighting_network.parameters():
        parameter.data *= 30
    trainer.train()
    trainer.save_model()
    return tmp_path / "out"


def command_line(folder, files, *others):
    return ["report", str(folder), "--test_file", files["test"], *others]


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_page_pictures_and_numbers_and_no_text(
    finished, files, raw_splits, tokenizer, splits, capsys, tmp_path
):
    main(command_line(finished, files, "--validation_file", files["validation"]))
    folder = finished / "report"
    assert capsys.readouterr().out.strip() == str(folder / "index.html")
    pictures = ["confusion_matrix", "embedding_map", "label_relations", "reliability", "training_curves"]
    numbers = [*pictures, "confused_pairs", "per_class"]
    expected = {"index.html", "summary.json", *(f"{name}.csv" for name in numbers)}
    expected |= {f"{name}{theme}.png" for name in pictures for theme in ("", "_dark")}
    assert {path.name for path in folder.iterdir()} == expected

    texts = [text for split in raw_splits.values() for text in split["text"]]
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not [text for text in texts if text.encode() in content], path.name
        # Nor a folder of this machine.
        assert str(tmp_path).encode() not in content, path.name

    counts = np.array([[int(row[name]) for name in NAMES] for row in read_csv(folder / "confusion_matrix.csv")])
    assert counts.sum() == 24
    relations = read_csv(folder / "label_relations.csv")
    assert sorted(row["true"] for row in relations) == NAMES
    # Out of the training model itself, and a loop over the texts.
    model = LCLForSequenceClassification.from_pretrained(finished / "checkpoint-4").eval()
    weights = {name: [] for name in NAMES}
    with torch.no_grad():
        for row in splits["test"]:
            inputs = {name: torch.tensor([row[name]]) for name in tokenizer.model_input_names}
            weights[NAMES[row["labels"]]].append(model(**inputs).weighting_logits.softmax(dim=1)[0])
    for row in relations:
        mean = torch.stack(weights[row["true"]]).mean(dim=0)
        torch.testing.assert_close(torch.tensor([float(row[name]) for name in NAMES]), mean, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_the_page_needs_nothing_beside_it(finished, files):
    main(command_line(finished, files))
    page = (finished / "report" / "index.html").read_text(encoding="utf-8")
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page
    sources = re.findall(r'(?:src|srcset)="([^"]{5})', page)
    assert len(sources) == 10
    assert set(sources) == {"data:"}
    for link in re.findall(r'href="([^"]+)"', page):
        assert (finished / "report" / link).is_file()


def test_a_plain_classifier_gets_a_report_that_says_what_is_missing(plain, files):
    main(command_line(plain, files))
    folder = plain / "report"
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "There is no weighting network here" in page
    assert "No trainer_state.json with a logged loss" in page
    assert "give --validation_file" in page
    assert not list(folder.glob("training_curves*"))
    assert {row["scaling"] for row in read_csv(folder / "reliability.csv")} == {"before"}


@pytest.fixture
def logits(plain, splits, tokenizer):
    """Those of the plain classifier for the test texts."""
    native = AutoModelForSequenceClassification.from_pretrained(plain)
    return lambda: (
        run_model(LCLForSequenceClassification.from_native(native, weighting="none"), splits["test"], tokenizer).logits
    )


@pytest.mark.parametrize("helps", [True, False])
def test_a_temperature_is_folded_where_it_helps_and_else_not_offered(
    plain, raw_splits, logits, helps, tmp_path, capsys
):
    before, weights = logits(), (plain / "model.safetensors").read_bytes()
    likely, unlikely = before.argmax(axis=1), before.argmin(axis=1)
    # Always wrong on the validation texts: the best temperature makes all classes equally probable.
    files = {"validation": unlikely, "test": unlikely if helps else likely}
    for split, labels in files.items():
        raw = raw_splits["test"].remove_columns("label").add_column("label", [NAMES[label] for label in labels])
        raw.to_json(tmp_path / f"{split}.jsonl")
    flags = [word for split in files for word in (f"--{split}_file", str(tmp_path / f"{split}.jsonl"))]
    main(["report", str(plain), "--fold_temperature", *flags])
    found = read_summary(plain)["calibration"]
    # Always wrong, or always right: the error is the mean probability, or what it lacks to 1.
    confidence = softmax(before, axis=1).max(axis=1).mean()
    assert found["error_before"] == pytest.approx(confidence if helps else 1 - confidence, abs=1e-4)
    assert found["error_after"] == pytest.approx(0.25 if helps else 0.75, abs=0.02)
    assert found["folded"] == helps
    said = capsys.readouterr().out
    assert f"{found['error_before']:.4f}" in said
    assert f"{found['error_after']:.4f}: {'folded' if helps else 'not folded'}" in said
    assert ((plain / "model.safetensors").read_bytes() == weights) != helps
    page = (plain / "report" / "index.html").read_text(encoding="utf-8")
    assert ("Temperature scaling does not help" in page) != helps
    scalings = {row["scaling"] for row in read_csv(plain / "report" / "reliability.csv")}
    assert scalings == ({"before", "after"} if helps else {"before"})


def evaluated(folder, logits, labels, split="validation"):
    outputs = ModelOutputs(logits, np.random.default_rng(0).normal(size=(len(labels), 3)), None)
    return Evaluated(split, labels, outputs, NAMES, folder)


def test_a_network_that_has_learned_nothing_ranks_no_classes(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    sure = rng.normal(size=(80, 4)) + 3 * np.eye(4)[labels]
    test, validation = evaluated(tmp_path, np.zeros((80, 4)), labels, "test"), evaluated(tmp_path, sure, labels)
    section = relations_section(test, validation, rng.normal(size=(80, 4)) / 10, "")
    assert section.text.startswith("Not learned yet")
    assert "validation texts" in section.text
    for row in read_csv(tmp_path / "label_relations.csv"):
        mean = softmax(sure[labels == NAMES.index(row["true"])], axis=1).mean(axis=0)
        np.testing.assert_allclose([float(row[name]) for name in NAMES], mean, rtol=1e-4)
    learned = relations_section(test, validation, sure, "")
    assert learned.text.startswith("What the label-aware loss has learned")
    nothing = relations_section(test, test, None, "No network.")
    assert nothing.text.startswith("No network. Nor does the classifier")
    assert not nothing.tables
    assert nothing.picture is None


@pytest.mark.slow
def test_names_of_classes_are_no_markup(bert, tokenizer, splits, tmp_path):
    bert.config.id2label = {0: "<script>alert(1)</script>", 1: "$a$", 2: "b|c", 3: "d, e"}
    for saved in (bert, tokenizer):
        saved.save_pretrained(tmp_path / "plain")
    page = write_report(tmp_path / "plain", splits["test"], tokenizer=tokenizer).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    labels = {row["label"] for row in read_csv(tmp_path / "plain" / "report" / "per_class.csv")}
    assert labels == set(bert.config.id2label.values())


def test_the_outputs_are_those_of_one_text_at_a_time_in_their_order(bert, splits, tokenizer):
    model = LCLForSequenceClassification.from_native(bert)
    outputs = run_model(model, splits["test"], tokenizer, batch_size=7)
    with torch.no_grad():
        for row, *found in zip(splits["test"], outputs.logits, outputs.embeddings, outputs.weighting_logits):
            alone = model(**{name: torch.tensor([row[name]]) for name in tokenizer.model_input_names})
            for one, other in zip(found, (alone.logits, alone.embeddings, alone.weighting_logits)):
                torch.testing.assert_close(torch.from_numpy(one), other[0], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_folded_temperature_calibrates_the_saved_classifier(finished, splits, tokenizer):
    def logits():
        native = AutoModelForSequenceClassification.from_pretrained(finished)
        return run_model(LCLForSequenceClassification.from_native(native), splits["test"], tokenizer).logits

    before, labels = logits(), np.array(splits["test"]["labels"])
    write_report(finished, splits["test"], splits["validation"], tokenizer=tokenizer, fold=True)
    found = read_summary(finished)["calibration"]
    assert found["folded"]
    np.testing.assert_allclose(logits(), before / found["temperature"], rtol=1e-3, atol=1e-5)
    assert (logits().argmax(axis=1) == before.argmax(axis=1)).all()
    assert expected_calibration_error(logits(), labels) == pytest.approx(found["error_after"], abs=1e-3)


def test_the_card_gets_the_results_and_keeps_everything_else(finished, files):
    card = finished / "README.md"
    before = {part["name"]: part["content"] for part in PART.finditer(card.read_text())}
    main(command_line(finished, files))
    text = card.read_text()
    after = {part["name"]: part["content"] for part in PART.finditer(text)}
    assert {name for name in before if before[name] != after[name]} == {"results", "pictures"}
    accuracy = read_summary(finished)["metrics"]["accuracy"]
    assert f"| accuracy | {accuracy:.4f} |" in after["results"]
    assert "On the test split (24 texts), one run (seed 42):" in after["results"]
    assert "](report/label_relations.png)" in after["pictures"]
    assert "split: test" in text


def test_findings_are_of_one_set_of_weights(tmp_path):
    weights = {"bias": torch.zeros(3), "large": torch.zeros(2**20 + 1)}
    save_file(weights, tmp_path / "model.safetensors")
    write_summary(tmp_path, {"metrics": {"accuracy": 0.5}})
    save_file(weights, tmp_path / "model.safetensors")  # once more
    assert read_summary(tmp_path) == {"metrics": {"accuracy": 0.5}}
    weights["bias"][1] = 1e-7
    save_file(weights, tmp_path / "model.safetensors")
    assert read_summary(tmp_path) is None


@pytest.mark.slow
def test_a_report_of_other_weights_is_not_believed(finished, splits, tokenizer, make_trainer):
    write_report(finished, splits["test"], tokenizer=tokenizer)
    assert read_summary(finished) is not None
    trainer = make_trainer(objective="lcl", num_train_epochs=1)
    trainer.save_model()
    assert read_summary(finished) is not None  # the same weights, written once more
    trainer.train()
    trainer.save_model()
    assert read_summary(finished) is None
    assert "label_relations.png" not in (finished / "README.md").read_text()


@pytest.mark.slow
def test_a_training_model_is_its_own_weighting_network(finished, splits, tokenizer):
    shutil.move(finished / "checkpoint-4", finished.parent / "wrapper")
    write_report(finished.parent / "wrapper", splits["test"], tokenizer=tokenizer)
    assert (finished.parent / "wrapper" / "report" / "label_relations.csv").is_file()
    with pytest.raises(ValueError, match="holds no standard classifier"):
        write_report(finished.parent / "wrapper", splits["test"], splits["validation"], tokenizer=tokenizer, fold=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line[:2], "test_file"),
        (lambda line: ["report", "nowhere", *line[2:]], "holds no model"),
        (lambda line: [*line, "--batch_size", "0"], "batch_size=0 must be at least 1"),
        (lambda line: [*line, "--fold_temperature"], "give --validation_file"),
        (lambda line: [*line, "--label_column_name", "feeling"], "no label column 'feeling'"),
        (lambda line: [*line, "--text_column_names", "words"], "no text column 'words'"),
    ],
)
def test_bad_input_ends_in_one_line(plain, files, change, message):
    with pytest.raises(SystemExit) as caught:
        main(change(command_line(plain, files)))
    assert str(caught.value.code).startswith("error: ")
    assert message in caught.value.code
    assert "\n" not in caught.value.code


@pytest.mark.slow
def test_an_adapter_needs_its_training_model(make_trainer, splits, tokenizer, tmp_path):
    from peft import LoraConfig

    trainer = make_trainer(
        objective="lcl",
        num_train_epochs=1,
        save_strategy="epoch",
        merge_adapter=False,
        peft_config=LoraConfig(r=2, target_modules=["query"]),
    )
    trainer.train()
    trainer.save_model()
    write_report(tmp_path / "out", splits["test"], tokenizer=tokenizer)
    summary = json.loads((tmp_path / "out" / "report" / "summary.json").read_text())
    assert summary["metrics"]["accuracy"] == pytest.approx(trainer.evaluate(splits["test"])["eval_accuracy"])
    shutil.rmtree(tmp_path / "out" / "checkpoint-4")
    with pytest.raises(ValueError, match="holds an adapter alone"):
        write_report(tmp_path / "out", splits["test"], tokenizer=tokenizer)
