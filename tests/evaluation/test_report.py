"""The report on a finished model: all of its files, for any classifier; only its page shows texts."""

import csv
import io
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import softmax
from transformers import AutoConfig, AutoModelForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.__main__ import main
from hf_lcl.evaluation import expected_calibration_error
from hf_lcl.evaluation.inference import ModelOutputs, run_model
from hf_lcl.evaluation.intervals import share_interval
from hf_lcl.evaluation.report import sections, write_report
from hf_lcl.evaluation.summary import read_summary, write_summary
from hf_lcl.hub.card_merging import PART


NAMES = ["angry", "annoyed", "glad", "proud"]


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(trainer_in, tmp_path_factory):
    """A trainer whose folder holds a finished classifier, its card, and a checkpoint of its training model."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    steps = {"max_steps": 2, "save_strategy": "steps", "save_steps": 2}
    trainer = trainer_in(folder, objective="lcl", learning_rate=3e-3, **steps)
    for config in (trainer.model.config, trainer.model.config.text_config):
        config.id2label = dict(enumerate(NAMES))
    # Two steps do not train the weighting network, so it gets large random weights.
    for parameter in trainer.model.weighting_network.parameters():
        parameter.data *= 30
    trainer.train()
    trainer.save_model()
    return trainer


@pytest.fixture(scope="module")
def reported(trained, raw_splits):
    """That folder after `report`, with its card from before and what the command printed."""
    model, files, printed = Path(trained.args.output_dir), {}, io.StringIO()
    for split in ("test", "validation"):
        files[split] = str(model.parent / f"{split}.jsonl")
        raw_splits[split].to_json(files[split])
    card = (model / "README.md").read_text()
    with redirect_stdout(printed):
        main(["report", str(model), "--test_file", files["test"], "--validation_file", files["validation"]])
    return SimpleNamespace(model=model, folder=model / "report", card=card, printed=printed.getvalue())


def test_the_command_writes_page_pictures_and_numbers_and_texts_on_the_page_alone(
    reported, raw_splits, tokenizer, splits
):
    folder = reported.folder
    assert reported.printed.strip() == str(folder / "index.html")
    pictures = ["confusion_matrix", "embedding_map", "label_relations", "reliability", "risk_coverage"]
    pictures.append("training_curves")
    numbers = [*pictures, "confused_pairs", "per_class"]
    expected = {"index.html", "summary.json", *(f"{name}.csv" for name in numbers)}
    expected |= {f"{name}{theme}.png" for name in pictures for theme in ("", "_dark")}
    assert {path.name for path in folder.iterdir()} == expected

    texts = [text for split in raw_splits.values() for text in split["text"]]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert 0 < sum(f"“{text}”" in page for text in set(raw_splits["test"]["text"])) <= 9
    for path in folder.iterdir():
        content = path.read_bytes()
        assert path.suffix == ".html" or not [text for text in texts if text.encode() in content], path.name
        # Nor does it contain a folder of this machine.
        assert str(reported.model.parent).encode() not in content, path.name

    counts = np.array([[int(row[name]) for name in NAMES] for row in read_csv(folder / "confusion_matrix.csv")])
    assert counts.sum() == 24
    relations = read_csv(folder / "label_relations.csv")
    assert sorted(row["true"] for row in relations) == NAMES
    # From the training model, one text at a time.
    model = LCLForSequenceClassification.from_pretrained(reported.model / "checkpoint-2").eval()
    weights = {name: [] for name in NAMES}
    with torch.no_grad():
        for row in splits["test"]:
            inputs = {name: torch.tensor([row[name]]) for name in tokenizer.model_input_names}
            weights[NAMES[row["labels"]]].append(model(**inputs).weighting_logits.softmax(dim=1)[0])
    for row in relations:
        mean = torch.stack(weights[row["true"]]).mean(dim=0)
        torch.testing.assert_close(torch.tensor([float(row[name]) for name in NAMES]), mean, atol=1e-5, rtol=1e-4)


def test_the_page_needs_nothing_beside_it(reported):
    page = (reported.folder / "index.html").read_text(encoding="utf-8")
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page
    assert "What the label-aware loss has learned" in page
    sources = re.findall(r'(?:src|srcset)="([^"]{5})', page)
    assert len(sources) == 12
    assert set(sources) == {"data:"}
    for link in re.findall(r'href="([^"]+)"', page):
        assert f'id="{link[1:]}"' in page if link.startswith("#") else (reported.folder / link).is_file()


def test_the_card_gets_the_results_and_keeps_everything_else(reported):
    text = (reported.model / "README.md").read_text()
    before, after = ({part["name"]: part["content"] for part in PART.finditer(card)} for card in (reported.card, text))
    assert {name for name in before if before[name] != after[name]} == {"results", "pictures"}
    accuracy = read_summary(reported.model)["metrics"]["accuracy"]
    low, high = share_interval(round(24 * accuracy), 24)
    assert f"| accuracy | {accuracy:.4f} ({low:.3f} to {high:.3f}) |" in after["results"]
    assert "On the test split (24 texts), one run (seed 42);" in after["results"]
    assert "](report/label_relations.png)" in after["pictures"]
    assert "split: test" in text


def test_a_report_of_other_weights_is_not_believed(reported, trained, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    shutil.copytree(reported.model, folder)
    monkeypatch.setattr(trained.args, "output_dir", str(folder))
    trained.save_model()
    assert read_summary(folder) is not None  # the same weights, saved again
    assert "label_relations.png" in (folder / "README.md").read_text()
    trained.model.native.classifier.bias.data += 1
    trained.save_model()
    assert read_summary(folder) is None
    assert "label_relations.png" not in (folder / "README.md").read_text()


def test_findings_are_of_one_set_of_weights(tmp_path):
    weights = {"bias": torch.zeros(3), "large": torch.zeros(2**20 + 1)}
    save_file(weights, tmp_path / "model.safetensors")
    write_summary(tmp_path, {"metrics": {"accuracy": 0.5}})
    save_file(weights, tmp_path / "model.safetensors")  # saved again
    assert read_summary(tmp_path) == {"metrics": {"accuracy": 0.5}}
    weights["bias"][1] = 1e-7
    save_file(weights, tmp_path / "model.safetensors")
    assert read_summary(tmp_path) is None


def logits_of(folder, splits, tokenizer):
    native = AutoModelForSequenceClassification.from_pretrained(folder)
    return run_model(LCLForSequenceClassification.from_native(native), splits["test"], tokenizer).logits


def report_and_fold(folder, raw_splits, names, **labels):
    """Runs `report --fold_temperature` on the texts of the test split, with other labels in each split."""
    command = ["report", str(folder), "--fold_temperature"]
    for split, ids in labels.items():
        raw = raw_splits["test"].remove_columns("label").add_column("label", [names[label] for label in ids])
        raw.to_json(folder.parent / f"{split}.jsonl")
        command += [f"--{split}_file", str(folder.parent / f"{split}.jsonl")]
    main(command)
    return read_summary(folder)["calibration"]


@pytest.mark.slow
def test_a_temperature_that_helps_is_folded_into_the_saved_classifier(plain, raw_splits, splits, tokenizer, capsys):
    before = logits_of(plain, splits, tokenizer)
    # Always wrong: the best temperature makes all classes equally probable.
    wrong = before.argmin(axis=1)
    found = report_and_fold(plain, raw_splits, NAMES, validation=wrong, test=wrong)
    assert found["folded"]
    assert found["error_before"] == pytest.approx(softmax(before, axis=1).max(axis=1).mean(), abs=1e-4)
    assert found["error_after"] == pytest.approx(0.25, abs=0.02)
    said = capsys.readouterr().out
    assert f"{found['error_before']:.4f}" in said
    assert f"{found['error_after']:.4f}: folded" in said
    assert {row["scaling"] for row in read_csv(plain / "report" / "reliability.csv")} == {"before", "after"}
    after = logits_of(plain, splits, tokenizer)
    np.testing.assert_allclose(after, before / found["temperature"], rtol=1e-3, atol=1e-5)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    assert expected_calibration_error(after, wrong) == pytest.approx(found["error_after"], abs=1e-3)


@pytest.mark.slow
def test_a_better_temperature_takes_the_place_of_a_folded_one(plain, raw_splits, splits, tokenizer, capsys):
    before = logits_of(plain, splits, tokenizer)
    wrong, right = before.argmin(axis=1), before.argmax(axis=1)
    right[:2] = wrong[:2]  # if all are right, no temperature is best
    first = report_and_fold(plain, raw_splits, NAMES, validation=wrong, test=wrong)["temperature"]
    found = report_and_fold(plain, raw_splits, NAMES, validation=right, test=right)
    assert found["folded"]
    assert found["temperature"] < 1 < first
    assert found["error_before"] == pytest.approx(expected_calibration_error(before, right), abs=1e-3)
    assert found["error_after"] < found["error_before"]
    after = logits_of(plain, splits, tokenizer)
    np.testing.assert_allclose(after, before / found["temperature"], rtol=1e-2, atol=1e-3)
    assert AutoConfig.from_pretrained(plain).folded_temperature == pytest.approx(found["temperature"])
    capsys.readouterr()
    kept = report_and_fold(plain, raw_splits, NAMES, validation=wrong, test=right)
    assert kept == pytest.approx(found)
    assert "folded before, and another does not help" in capsys.readouterr().out


@pytest.mark.slow
def test_a_plain_classifier_gets_an_escaped_report_that_says_what_is_missing(
    plain, bert, raw_splits, splits, tokenizer, capsys
):
    names = ["<script>alert(1)</script>", "$a$", "b|c", "d, e"]
    bert.config.id2label, bert.config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    bert.save_pretrained(plain)
    before, weights = logits_of(plain, splits, tokenizer), (plain / "model.safetensors").read_bytes()
    wrong, right = before.argmin(axis=1), before.argmax(axis=1)
    found = report_and_fold(plain, raw_splits, names, validation=wrong, test=right)
    page = (plain / "report" / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert {row["label"] for row in read_csv(plain / "report" / "per_class.csv")} == set(names)
    assert "There is no weighting network here" in page
    assert "No trainer_state.json with a logged loss" in page
    assert not list((plain / "report").glob("training_curves*"))
    # Equal probabilities are best for the validation split, but in the test split all predictions are right.
    assert not found["folded"]
    assert found["error_before"] == pytest.approx(1 - softmax(before, axis=1).max(axis=1).mean(), abs=1e-4)
    assert found["error_after"] == pytest.approx(0.75, abs=0.02)
    assert f"{found['error_after']:.4f}: not folded" in capsys.readouterr().out
    assert (plain / "model.safetensors").read_bytes() == weights
    assert "Temperature scaling does not help" in page
    assert {row["scaling"] for row in read_csv(plain / "report" / "reliability.csv")} == {"before"}


def evaluated(logits, labels, split="validation", weighting_logits=None):
    embeddings = np.random.default_rng(0).normal(size=(len(labels), 3))
    return sections.Evaluated(split, labels, ModelOutputs(logits, embeddings, weighting_logits), NAMES)


def test_a_network_that_has_learned_nothing_ranks_no_classes():
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    sure = rng.normal(size=(80, 4)) + 3 * np.eye(4)[labels]
    test = evaluated(np.zeros((80, 4)), labels, "test", rng.normal(size=(80, 4)) / 10)
    section = sections.relations(test, evaluated(sure, labels), "")
    assert section.text.startswith("Not learned yet")
    assert "validation texts" in section.text
    for _, row in section.numbers["label_relations"].iterrows():
        mean = softmax(sure[labels == NAMES.index(row["true"])], axis=1).mean(axis=0)
        np.testing.assert_allclose(row[NAMES].astype(float), mean, rtol=1e-4)
    test = evaluated(np.zeros((80, 4)), labels, "test")
    nothing = sections.relations(test, test, "No network.")
    assert nothing.text.startswith("No network. Nor does the classifier")
    assert not nothing.tables
    assert not nothing.pictures


def test_two_texts_make_no_map():
    section = sections.embeddings(evaluated(np.eye(4)[:2], np.arange(2)))
    assert section.text == "A map needs at least three texts."
    assert not section.pictures


def test_the_outputs_are_those_of_one_text_at_a_time_in_their_order(bert, splits, tokenizer):
    model = LCLForSequenceClassification.from_native(bert)
    outputs = run_model(model, splits["test"], tokenizer, batch_size=7)
    with torch.no_grad():
        for row, *found in zip(splits["test"], outputs.logits, outputs.embeddings, outputs.weighting_logits):
            alone = model(**{name: torch.tensor([row[name]]) for name in tokenizer.model_input_names})
            for one, other in zip(found, (alone.logits, alone.embeddings, alone.weighting_logits)):
                torch.testing.assert_close(torch.from_numpy(one), other[0], atol=1e-5, rtol=1e-4)


def test_a_token_of_another_models_tokenizer_is_named(bert, splits, tokenizer):
    ids = [*splits["test"]["input_ids"]]
    ids[3] = [*ids[3][:-1], bert.config.vocab_size]
    other = splits["test"].remove_columns("input_ids").add_column("input_ids", ids)
    with pytest.raises(ValueError, match=f"gives a text the token id {bert.config.vocab_size}"):
        run_model(LCLForSequenceClassification.from_native(bert), other, tokenizer)


def test_no_temperature_is_folded_into_a_training_model(trained, splits, tokenizer):
    folder = f"{trained.args.output_dir}/checkpoint-2"
    with pytest.raises(ValueError, match="holds no standard classifier"):
        write_report(folder, splits["test"], splits["validation"], tokenizer=tokenizer, fold=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line[:2], "test_file"),
        (lambda line: ["report", "nowhere", *line[2:]], "holds no model"),
        (lambda line: [*line, "--batch_size", "0"], "--batch_size 0 must be at least 1"),
        (lambda line: [*line, "--fold_temperature"], "give --validation_file"),
        (lambda line: [*line, "--label_column_name", "feeling"], "no label column 'feeling'"),
        (lambda line: [*line, "--text_column_names", "words"], "no text column 'words'"),
    ],
)
def test_bad_input_ends_in_one_line(plain, files, change, message):
    with pytest.raises(SystemExit) as caught:
        main(change(["report", str(plain), "--test_file", files["test"]]))
    assert str(caught.value).startswith("error: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_an_adapter_is_reported_with_the_training_model_of_its_checkpoint(make_trainer, splits, tokenizer, tmp_path):
    from peft import LoraConfig

    trainer = make_trainer(
        objective="lcl",
        max_steps=1,
        save_strategy="steps",
        save_steps=1,
        merge_adapter=False,
        peft_config=LoraConfig(r=2, target_modules=["query"]),
    )
    trainer.train()
    trainer.save_model()
    path = write_report(tmp_path / "out", splits["test"], tokenizer=tokenizer)
    page = path.read_text(encoding="utf-8")
    assert "There is no weighting network here" not in page
    assert "give --validation_file" in page
    accuracy = trainer.evaluate(splits["test"])["eval_accuracy"]
    assert read_summary(tmp_path / "out")["metrics"]["accuracy"] == pytest.approx(accuracy)
    shutil.rmtree(tmp_path / "out" / "checkpoint-1")
    with pytest.raises(ValueError, match="holds an adapter alone"):
        write_report(tmp_path / "out", splits["test"], tokenizer=tokenizer)


@pytest.fixture(scope="module")
def with_scope(trained, raw_splits, tmp_path_factory):
    """A folder whose classifier has a class `out_of_scope`, after `report` on texts that include this class."""
    folder = tmp_path_factory.mktemp("scope")
    shutil.copytree(trained.args.output_dir, folder / "out")
    for split in raw_splits:
        raw_splits[split].to_json(folder / f"{split}.jsonl")
    with open(folder / "test.jsonl", "a") as file:
        file.write('{"text": "x y z", "label": "out_of_scope"}\n')
    (folder / "oos.txt").write_text("a b c d\nxyz\nuvw q\nzz yy\n")
    flags = [
        str(folder / "out"),
        f"--validation_file={folder / 'validation.jsonl'}",
        f"--oos_file={folder / 'oos.txt'}",
    ]
    main(["calibrate", *flags, "--out_of_scope=keep=0.9"])
    main(["report", *flags, f"--test_file={folder / 'test.jsonl'}", f"--train_file={folder / 'train.jsonl'}"])
    return folder / "out"


@pytest.mark.slow
def test_texts_out_of_scope_have_a_picture_and_figures(with_scope):
    page = (with_scope / "report" / "index.html").read_text(encoding="utf-8")
    assert "The cut is that of the class out_of_scope (keep=0.9)" in page
    assert (with_scope / "report" / "scope_dark.png").is_file()
    rows = read_csv(with_scope / "report" / "scope.csv")
    assert [row["score"] for row in rows][::3] == ["largest logit", "relative Mahalanobis distance"]
    assert len(rows) == 6
    card = (with_scope / "README.md").read_text(encoding="utf-8")
    assert "| largest logit | 0." in card
    assert "| 4 | out_of_scope |" in card
    summary = read_summary(with_scope)
    assert summary["scope"][0]["auroc"] == pytest.approx(float(rows[0]["auroc"]), abs=1e-5)
    assert [row["support"] for row in summary["per_class"]] == [6, 6, 6, 6, 1]
    # Relations are those between the classes of the weighting network.
    assert [*read_csv(with_scope / "report" / "label_relations.csv")[0]] == ["true", *summary_order(with_scope)]


def summary_order(folder):
    return [row["true"] for row in read_csv(folder / "report" / "label_relations.csv")]


def test_the_page_says_when_to_ask_a_person(reported):
    page = (reported.folder / "index.html").read_text(encoding="utf-8")
    assert "When to ask a person" in page
    points = read_csv(reported.folder / "risk_coverage.csv")
    assert float(points[-1]["answered"]) == 1
    assert float(points[-1]["accuracy"]) == pytest.approx(
        read_summary(reported.model)["metrics"]["accuracy"], abs=1e-5
    )


@pytest.mark.slow
def test_a_calibrated_classifier_is_not_divided_again(with_scope, raw_splits, tmp_path):
    raw_splits["test"].to_json(tmp_path / "test.jsonl")
    files = [f"--test_file={tmp_path / 'test.jsonl'}", f"--validation_file={tmp_path / 'test.jsonl'}"]
    with pytest.raises(SystemExit, match="was calibrated with its class out_of_scope: leave --fold_temperature out"):
        main(["report", str(with_scope), "--fold_temperature", *files])


@pytest.mark.slow
def test_a_class_of_that_name_that_was_learned_is_like_the_others(trained, raw_splits, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(trained.args.output_dir, folder)
    for path in (folder / "config.json", folder / "checkpoint-2" / "config.json"):
        path.write_text(path.read_text().replace("proud", "out_of_scope"))
    rows = raw_splits["test"].map(lambda row: {"label": row["label"].replace("proud", "out_of_scope")})
    rows.to_json(tmp_path / "test.jsonl")
    main(["report", str(folder), f"--test_file={tmp_path / 'test.jsonl'}"])
    assert sorted(row["true"] for row in read_csv(folder / "report" / "label_relations.csv")) == [
        *("angry", "annoyed", "glad", "out_of_scope")
    ]
    assert not (folder / "report" / "scope.png").exists()
