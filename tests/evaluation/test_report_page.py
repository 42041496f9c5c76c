"""The page of a report in a real browser."""

from types import SimpleNamespace

import numpy as np
import pytest

from hf_lcl.evaluation.inference import ModelOutputs
from hf_lcl.evaluation.report import sections
from hf_lcl.evaluation.report.glance import CAPTION, beside, glance, headline
from hf_lcl.evaluation.report.page import render_page, replace_table


CLASSES, TEXTS = 34, 340
NAMES = [f"balance_not_updated_after_{index}_cheques_<b>" for index in range(CLASSES)]
LONG = "https://example.invalid/" + "x" * 200
SYSTEMS = {"cross-entropy": {"metrics": {"accuracy": 0.5}, "intervals": {}}}


@pytest.fixture(scope="module")
def test_split():
    """Many classes with long names; the first is always predicted as the second."""
    rng, labels = np.random.default_rng(0), np.arange(TEXTS) % CLASSES
    logits = rng.normal(size=(TEXTS, CLASSES)) + 4 * np.eye(CLASSES)[labels]
    logits[labels == 0, 1] = 9 + np.arange(10)
    outputs = ModelOutputs(logits, np.eye(CLASSES)[labels] + rng.normal(size=(TEXTS, CLASSES)) / 3)
    texts = [f"text {row} {LONG if row == 0 else ''} <i>" for row in range(TEXTS)]
    return sections.Evaluated("test", labels, outputs, NAMES, texts)


@pytest.fixture(scope="module")
def facts(test_split):
    return sections.results(test_split)[1] | {"rows": TEXTS, "baselines": SYSTEMS}


@pytest.fixture(scope="module")
def page(test_split, facts, tmp_path_factory):
    curve = [{"step": step, "loss": 1 / step} for step in range(1, 21)]
    parts = [glance(test_split, facts), sections.results(test_split)[0], sections.confusion(test_split)]
    parts.append(sections.training_curves(curve))
    path = tmp_path_factory.mktemp("report") / "index.html"
    text = render_page("my_classifier", headline(test_split), parts, path.parent, "footer")
    path.write_text(text, encoding="utf-8")
    return SimpleNamespace(path=path, sections=parts)


def test_the_first_screen_says_what_it_is_worth_beside_others(test_split, facts):
    right = int((test_split.predictions == test_split.references).sum())
    assert headline(test_split).startswith(f"Accuracy {right / TEXTS:.1%} (95 % interval ")
    ours, most, other = beside(facts)
    assert (ours["classifier"], ours["accuracy"]) == ("this one", f"{right / TEXTS:.1%}")
    assert (most["accuracy"], other["accuracy"]) == (f"{1 / CLASSES:.1%}", "50.0%")
    assert [row["texts"] for row in (ours, most, other)] == ["340"] * 3


def test_the_costliest_confusion_comes_with_the_texts_that_were_misread_most_confidently(test_split, facts):
    heading, quoted = next(iter(glance(test_split, facts).lists.items()))
    assert heading == f"{NAMES[0]} read as {NAMES[1]}: 10 texts (100% of {NAMES[0]})"
    assert quoted == [f"“text {row} <i>”" for row in (306, 272, 238)]


@pytest.mark.slow
def test_many_classes_leave_the_twenty_with_the_most_errors_and_the_file_holds_all(page):
    section = page.sections[2]
    assert section.text.startswith("The 20 of 34 classes with the most errors")
    assert f"The largest error: {NAMES[0]} read as {NAMES[1]}, 100%." in section.alt
    assert len((page.path.parent / "confusion_matrix.csv").read_text().splitlines()) == CLASSES + 1


def test_another_system_is_put_into_the_table_and_nothing_else_changes(page, facts, tmp_path):
    old = page.path.read_text(encoding="utf-8")
    other = tmp_path / "index.html"
    other.write_text(old, encoding="utf-8")
    replace_table(other, CAPTION, beside(facts))
    assert other.read_text(encoding="utf-8") == old
    start = {"cross-entropy after the same start": {"metrics": {"accuracy": 0.6}, "intervals": {}}}
    replace_table(other, CAPTION, beside(facts | {"baselines": SYSTEMS | start}))
    new = other.read_text(encoding="utf-8")
    row = new[new.index('<tr>\n<th scope="row">cross-entropy after') :]
    row = row[: row.index("</tr>\n") + len("</tr>\n")]
    assert "<td>60.0%</td>" in row
    assert new.replace(row, "") == old


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_in_a_browser(page, browser, width, scheme):
    """No errors, no horizontal overflow, a plot opens, and everything is reachable by keyboard."""
    faults: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda fault: faults.append(str(fault)))
    tab.goto(page.path.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    picture = tab.locator("figure img").first
    fitted = picture.bounding_box()["width"]
    assert fitted <= width
    tab.locator("figure input").first.focus()
    tab.keyboard.press("Space")
    natural = picture.evaluate("image => image.naturalWidth")
    assert picture.bounding_box()["width"] == natural
    assert tab.evaluate("document.documentElement.scrollWidth") == width  # it scrolls in its frame
    source = picture.evaluate("image => image.currentSrc.length")
    assert source == len("data:image/png;base64,") + -(-_size(page.path.parent, scheme) // 3) * 4
    lightness = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert lightness == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")
    tree = tab.locator("body").aria_snapshot()
    for part in ("- main:", '- navigation "Sections":', "- columnheader", "- rowheader"):
        assert part in tree, part
    assert tab.get_by_alt_text("Heat map of 20 true by 20 predicted classes.").count() == 1
    for link in tab.locator("nav a").all():
        assert tab.locator(link.get_attribute("href")).count() == 1
    assert tab.locator("footer").inner_text() == "footer"
    tab.emulate_media(media="print")
    assert not tab.locator("nav").is_visible()
    assert faults == []


def _size(folder, scheme: str) -> int:
    name = "confusion_matrix_dark.png" if scheme == "dark" else "confusion_matrix.png"
    return (folder / name).stat().st_size
