"""The explanation of a prediction for one text, and the page that shows it."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import SpaceCard

from hf_lcl.__main__ import main
from hf_lcl.commands.demo import misread, undecided, write_space
from hf_lcl.evaluation.audit.writing import COLUMNS
from hf_lcl.evaluation.demo_page import build_page
from hf_lcl.evaluation.explorer import Explorer
from hf_lcl.evaluation.finished import load_finished
from hf_lcl.evaluation.summary import write_summary
from hf_lcl.start.last_layer import add_class
from hf_lcl.support.files import write_csv


TEXTS = ["my neighbour was furious", "the party was sunny", "a friend won a medal", "queue late again"]
LABELS = ["angry", "glad", "proud", "annoyed"]
CUTS = [{"wanted": 0.95, "reject_below": 0.875, "answered": 0.25, "accuracy": 1.0}]


@pytest.fixture
def explorer(plain):
    (plain / "report").mkdir()
    names = ["angry", "annoyed", "glad", "proud"]
    with (plain / "report" / "confusion_matrix.csv").open("w", newline="") as file:
        rows = [[name, *(8 if name == other else 2 * (other == "glad") for other in names)] for name in names]
        csv.writer(file).writerows([["true", *names], *rows])
    (plain / "report" / "risk_coverage.csv").write_text("reject_below,answered,accuracy\n0.9,0.25,1.0\n0.4,1.0,0.5\n")
    write_summary(plain, {"selective": {"aurc": 0.1, "cuts": CUTS}})
    return Explorer(plain, *load_finished(plain), texts=TEXTS, labels=LABELS)


def test_the_classes_are_those_of_plain_transformers(explorer, reader):
    answer = explorer.ask(TEXTS[0])
    expected = reader(TEXTS[0])
    assert list(answer.classes.values()) == pytest.approx(sorted(expected, reverse=True), abs=1e-5)
    assert list(answer.classes) == [explorer.names[index] for index in np.argsort(expected)[::-1]]
    assert answer.is_sure == (sorted(expected)[-1] - sorted(expected)[-2] >= 0.2)


def test_a_training_text_is_its_own_closest_neighbour(explorer):
    text, label, cosine = explorer.ask(TEXTS[2]).neighbours[0]
    assert (text, label) == (TEXTS[2], "proud")
    assert cosine == pytest.approx(1, abs=1e-5)


def test_measured_confusions_are_shares_of_the_class(explorer):
    best = next(iter(explorer.ask(TEXTS[0]).classes))
    found = [pair for pair in explorer.ask(TEXTS[0]).confused if pair[0] == best]
    assert found == ([] if best == "glad" else [(best, "glad", "measured", 0.2)])


def test_it_says_when_to_ask_a_person_and_when_no_class_fits(plain):
    cuts = [CUTS[0] | {"reject_below": 1.0}]
    write_summary(plain, {"selective": {"aurc": 0.1, "cuts": cuts}})
    remark = Explorer(plain, *load_finished(plain)).ask(TEXTS[0]).remark
    assert remark == "Ask a person: below 100%, the cut for 95% of right answers."
    model, tokenizer = load_finished(plain)
    add_class(model.native, "out_of_scope", 99.0)
    model.config.id2label = model.native.config.id2label
    assert Explorer(plain, model, tokenizer).ask(TEXTS[0]).remark == "None of the classes fits."


def test_no_training_texts_no_neighbours_and_no_text_no_answer(plain):
    explorer = Explorer(plain, *load_finished(plain))
    assert explorer.ask("sunny").neighbours == []
    with pytest.raises(ValueError, match="There is no text"):
        explorer.ask("  ")


def test_the_misread_texts_are_those_of_the_predictions(tmp_path):
    assert misread(tmp_path) == []
    (tmp_path / "predictions.csv").write_text("text,truth,prediction,probability\na,x,y,0.9\nb,x,x,0.8\n")
    assert [row["text"] for row in misread(tmp_path)] == ["a"]


def test_a_file_that_predict_wrote_holds_no_misread_texts(plain, tmp_path):
    (tmp_path / "new.csv").write_text("text\nmy cake\n")
    main(["predict", str(plain), str(tmp_path / "new.csv"), "--output_file", str(plain / "predictions.csv")])
    assert misread(plain) == []


def test_a_row_that_is_decided_on_is_not_shown_again(tmp_path):
    """In the list itself or in the corrections, both as a spreadsheet saves them."""
    audit, corrections = tmp_path / "audit.csv", tmp_path / "corrections.csv"
    rows = [
        dict.fromkeys(COLUMNS, "") | {"line": str(line), "text": "caf\u00e9", "flag": "label?"} for line in (2, 3, 4)
    ]
    rows[0]["decision"] = "Keep"
    for path, header, table in (
        (audit, COLUMNS, [row.values() for row in rows]),
        (corrections, ["text", "label", "decision", "line"], [["caf\u00e9", "x", "keep", "3"]]),
    ):
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file, delimiter=";").writerows([header, *table])
    assert undecided(audit, corrections) == [rows[2]]


def test_an_undecodable_list_is_named(tmp_path):
    audit = tmp_path / "audit.csv"
    audit.write_text(f"{','.join(COLUMNS)}\n2,caf\u00e9{',' * (len(COLUMNS) - 2)}\n", encoding="cp1252")
    with pytest.raises(ValueError, match=r"audit\.csv, line 2 holds the byte 0xE9, .* \(save it as UTF-8\)"):
        undecided(audit, tmp_path / "corrections.csv")


def test_a_correction_that_cannot_be_written_is_told_on_the_page(explorer, tmp_path):
    gradio = pytest.importorskip("gradio")
    corrections = tmp_path / "corrections.csv"
    corrections.write_text("text,klass\na,glad\n")
    suspect = dict.fromkeys(COLUMNS, "x")
    page = build_page(explorer, "feelings", corrections, [], [suspect])
    writing = [event for event in page.fns.values() if event.concurrency_id == "corrections"]
    assert len(writing) == 4
    for event in writing:
        with pytest.raises(gradio.Error, match="has no column"):
            event.fn(*(("a", "glad") if event.name == "correct" else (0, "glad")))


def test_the_file_of_corrections_is_a_csv(plain, fails):
    assert "corrections.txt has an unknown extension: use .csv" in fails(
        ["demo", str(plain), "--corrections", "corrections.txt"]
    )


def test_the_column_of_labels_is_found_or_asked_for(plain, tmp_path, monkeypatch, fails):
    shown = []
    page = SimpleNamespace(launch=lambda **_: None)
    monkeypatch.setattr("hf_lcl.commands.demo.build_page", lambda explorer, *_: shown.append(explorer) or page)
    (tmp_path / "t.csv").write_text(
        "text,Queue\n" + "".join(f"{text},{n}\n" for text, n in zip(TEXTS * 3, LABELS * 3))
    )
    main(["demo", str(plain), "--train_file", str(tmp_path / "t.csv")])
    assert shown[0].ask(TEXTS[2]).neighbours[0][:2] == (TEXTS[2], "proud")
    (tmp_path / "u.csv").write_text("text\nmy cake\n")
    assert "has no column that looks like labels" in fails(
        ["demo", str(plain), "--train_file", str(tmp_path / "u.csv")]
    )


def test_a_space_holds_no_training_text(tmp_path):
    write_space(tmp_path / "space", "me/my-classifier")
    app = (tmp_path / "space" / "app.py").read_text()
    compile(app, "app.py", "exec")
    assert "'me/my-classifier'" in app
    assert sorted(path.name for path in (tmp_path / "space").iterdir()) == ["README.md", "app.py", "requirements.txt"]
    with pytest.raises(ValueError, match="is not empty: name another folder"):
        write_space(tmp_path / "space", "me/my-classifier")


@pytest.mark.parametrize(("model", "title"), [("me/my-classifier", "my-classifier"), ("on", "on"), (None, "plain")])
def test_the_metadata_of_a_space_name_the_model(plain, tmp_path, model, title):
    write_space(tmp_path / "space", model or str(plain))
    data = SpaceCard.load(tmp_path / "space" / "README.md").data.to_dict()
    assert data == {"title": title, "sdk": "gradio", "app_file": "app.py", "models": [model or "USER/plain"]}


def test_a_space_of_no_model_is_not_written(plain, tmp_path, fails, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain.rename(tmp_path / "my: 'model'")
    for model in ("../nope", "my: 'model'"):
        told = fails(["demo", model, "--space", "space"])
        assert f"{model} is no id on the Hub, and no folder with a name for it (Repo id must use alphanumeric" in told
        assert told.endswith("name the model as in `hf-lcl demo USER/my-model --space space`.")
    (tmp_path / "empty").mkdir()
    assert "empty holds no model (config.json)" in fails(["demo", "empty", "--space", "space"])
    assert not (tmp_path / "space").exists()


@pytest.mark.slow
def test_the_page_in_a_browser(explorer, tmp_path, browser):
    """Type a text, see the prediction, correct it: the file is written, and no other host is contacted."""
    pytest.importorskip("gradio")
    rows = [{"text": "b", "truth": "glad", "prediction": "proud", "probability": "0.9"}]
    page = build_page(explorer, "feelings", tmp_path / "corrections.csv", rows)
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, share=False)
    asked: list[str] = []
    try:
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(address)
        tab.locator("#text textarea").fill(TEXTS[2])
        tab.locator("#classify").click()
        tab.get_by_text("proud").first.wait_for()
        tab.locator("#verdict strong").first.wait_for()
        tab.locator("#save").click()
        tab.get_by_text("Saved. 1 texts stand in").wait_for()
        tab.get_by_role("tab", name="Misread test texts").click()
        tab.locator("text=0.9 >> visible=true").first.wait_for()
        tab.get_by_role("tab", name="When to ask a person").click()
        tab.locator("text=87.5% >> visible=true").first.wait_for()
        tab.locator(".vega-embed svg >> visible=true").first.wait_for()
    finally:
        page.close()
    best = next(iter(explorer.ask(TEXTS[2]).classes))
    with (tmp_path / "corrections.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["text", "label", "decision", "line"], [TEXTS[2], best, "change", ""]]
    assert {url.split("/")[2].partition(":")[0] for url in asked if url.startswith("http")} == {"127.0.0.1"}


@pytest.mark.slow
def test_labels_are_decided_on_in_a_browser(explorer, tmp_path, browser):
    """Keep by a button, change the class, drop by a key: each adds a row, and a new visit resumes after them."""
    pytest.importorskip("gradio")
    audit, corrections = tmp_path / "audit.csv", tmp_path / "corrections.csv"
    table = [dict.fromkeys(COLUMNS, "") | {"line": str(line), "flag": "label?"} for line in range(2, 6)]
    for row, text, label, name in zip(table, TEXTS, LABELS, ["glad", "angry", "annoyed", "proud"]):
        row |= {"text": text, "label": label, "suggested": name, "nearest_1": "much like it", "nearest_1_label": name}
    write_csv(audit, COLUMNS, (row.values() for row in [*table, dict.fromkeys(COLUMNS, "unflagged") | {"flag": ""}]))
    suspects = undecided(audit, corrections)
    assert [row["line"] for row in suspects] == ["2", "3", "4", "5"]
    page = build_page(explorer, "feelings", corrections, [], suspects)
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, share=False)
    try:
        tab = browser.new_page()
        tab.goto(address)
        tab.get_by_role("tab", name="Labels to check").click()
        tab.get_by_text("1 of 4 · line 2").wait_for()
        tab.locator("text=much like it >> visible=true").first.wait_for()
        tab.locator("#keep").click()
        tab.get_by_text("2 of 4 · line 3").wait_for()
        tab.locator("#change").click()
        tab.get_by_text("3 of 4 · line 4").wait_for()
        tab.keyboard.press("d")
        tab.get_by_text("4 of 4 · line 5").wait_for()
    finally:
        page.close()
    with corrections.open(newline="") as file:
        assert list(csv.reader(file))[1:] == [
            [TEXTS[0], "angry", "keep", "2"],
            [TEXTS[1], "angry", "change", "3"],
            [TEXTS[2], "proud", "drop", "4"],
        ]
    assert [row["line"] for row in undecided(audit, corrections)] == ["5"]


def test_another_file_is_no_list_of_labels_to_check(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,glad\n")
    with pytest.raises(ValueError, match="has no column 'line': it is no list that `hf-lcl audit` wrote"):
        undecided(tmp_path / "train.csv", tmp_path / "corrections.csv")
    with pytest.raises(ValueError, match=r"none\.csv does not exist: `hf-lcl audit FILE --output_file"):
        undecided(tmp_path / "none.csv", tmp_path / "corrections.csv")
