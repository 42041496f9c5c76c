"""The commands for finished models accept an id on the Hub."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redirection import redirect
from transformers import AutoModelForSequenceClassification, pipeline

from hf_lcl.__main__ import main
from hf_lcl.hub import push_folder


REPO = "anna/feelings"


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def new_cache(hub, monkeypatch, tmp_path) -> Callable[[], None]:
    """Switches to an empty cache."""
    return lambda: redirect(monkeypatch, hub.url, tmp_path / "new")


@pytest.mark.parametrize("several", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["one", "several"])
def test_evaluate_and_predict_use_what_is_published_on_a_branch(
    hub, saved, several, files, raw_splits, tmp_path, capsys, new_cache
):
    push_folder(saved, REPO, private=True)  # on main: another classifier
    model = AutoModelForSequenceClassification.from_pretrained(saved)
    model.classifier.bias.data[0] += 10
    if several:
        model.config.problem_type = "multi_label_classification"
        lists = [sorted({label, "angry"}) for label in raw_splits["test"]["label"]]
        raw_splits["test"].remove_columns("label").add_column("label", lists).to_json(files["test"])
    model.save_pretrained(saved)
    push_folder(saved, REPO, revision="trained")
    branch = ["--revision", "trained"]

    here, there, main_branch = (tmp_path / f"{name}.json" for name in ("here", "there", "main"))
    flags = ["--test_file", files["test"], "--output_file"]
    main(["evaluate", str(saved), *flags, str(here)])
    new_cache()
    main(["evaluate", REPO, *branch, *flags, str(there)])
    assert read(there) == read(here)
    assert hub.count("GET", "/resolve/.*/model.safetensors") == 1
    if several:  # the other classifier predicts one label
        with pytest.raises(SystemExit, match="several values"):
            main(["evaluate", REPO, *flags, str(main_branch)])
    else:
        main(["evaluate", REPO, *flags, str(main_branch)])
        assert read(main_branch) != read(here)

    capsys.readouterr()
    main(["predict", str(saved), files["test"]])
    expected = capsys.readouterr().out
    assert len(expected.splitlines()) == 24
    main(["predict", REPO, files["test"], *branch])
    assert capsys.readouterr().out == expected


def test_a_class_for_texts_of_no_class_is_published_with_its_classifier(hub, saved, files, new_cache):
    flags = ["--validation_file", files["validation"], "--out_of_scope", "keep=0.5"]
    main(["calibrate", str(saved), *flags])
    main(["push", str(saved), REPO])
    new_cache()
    texts = ["furious neighbour", "a b c d e", "xyz uvw rst", "what is the meaning of life"]
    here, there = (pipeline("text-classification", model=name)(texts) for name in (str(saved), REPO))
    assert [answer["label"] for answer in there] == [answer["label"] for answer in here]
    assert "out_of_scope" in {answer["label"] for answer in there}
    assert "out_of_scope" in hub.files(REPO)["README.md"].decode()


@pytest.mark.parametrize("command", [["evaluate", REPO, "--test_file"], ["predict", REPO]])
def test_a_model_that_may_not_be_read_ends_in_one_line(hub, saved, files, command, new_cache, monkeypatch):
    push_folder(saved, REPO, private=True)
    new_cache()
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(SystemExit, match=f"^error: No classifier can be loaded from {REPO}: ") as ended:
        main([*command, files["test"]])
    assert "\n" not in str(ended.value)
