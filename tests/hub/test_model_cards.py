"""The cards of `model_cards`: their figures agree with the measurements, and the Hub can read them."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results


ROOT = Path(__file__).parents[2] / "model_cards"
FOLDERS = sorted(path.parent for path in ROOT.glob("*/README.md"))
OVERVIEW = (ROOT / "README.md").read_text()


@pytest.fixture(params=FOLDERS, ids=[folder.name for folder in FOLDERS])
def folder(request):
    return request.param


@pytest.fixture
def runs(folder):
    lines = map(json.loads, (folder / "runs.jsonl").read_text().splitlines())
    return {line["settings"]["objective"]: line for line in lines}


def accuracies(folder):
    """The numbers of texts and of correct predictions in the report's confusion matrix."""
    with open(folder / "report" / "confusion_matrix.csv", newline="") as file:
        rows = [[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
    return sum(map(sum, rows)), sum(row[number] for number, row in enumerate(rows))


def test_no_key_of_the_metadata_stands_twice(folder):
    def check(node):
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), keys
            node = yaml.SequenceNode(None, [value for _, value in node.value])
        if isinstance(node, yaml.SequenceNode):
            for inner in node.value:
                check(inner)

    check(yaml.compose((folder / "README.md").read_text().split("---\n")[1]))


def test_the_accuracy_is_that_of_the_report_and_of_the_run(folder, runs):
    texts, right = accuracies(folder)
    model_index = ModelCard.load(folder / "README.md").data.to_dict()["model-index"]
    _, results = model_index_to_eval_results(model_index)
    assert (results[0].metric_type, results[0].metric_value) == ("accuracy", round(right / texts, 4))
    assert runs["lcl"]["metrics"]["accuracy"] == pytest.approx(right / texts, abs=1e-12)
    card = (folder / "README.md").read_text()
    for run in (runs["lcl"], runs["ce"], runs["ce-start"]):
        assert re.search(rf"\| accuracy \|.* {run['metrics']['accuracy']:.4f} \(", card)


def test_the_overview_has_the_figures_of_every_run(folder, runs):
    row = next(line for line in OVERVIEW.splitlines() if f"[`{folder.name}`]" in line)
    figures = re.findall(r"(\d+\.\d) \(", row)
    assert figures == [f"{100 * runs[name]['metrics']['accuracy']:.1f}" for name in ("ce", "ce-start", "lcl")]


def test_pictures_and_files_that_it_names_are_there(folder):
    named = re.findall(r"\]\((?!https?:|#)([^)]+)\)", (folder / "README.md").read_text())
    assert named
    assert [name for name in named if not (folder / name).is_file()] == []


def test_nothing_of_the_machine_and_no_text_is_in_it(folder):
    for path in folder.rglob("*.*"):
        if path.suffix != ".png":
            assert not re.search(r"/(home|root|tmp|work|usr)/", path.read_text()), path


def test_the_encoder_is_named_by_its_hub_id(runs):
    assert {run["settings"]["model"]["name"] for run in runs.values()} == {"sentence-transformers/all-MiniLM-L6-v2"}
