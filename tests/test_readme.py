"""The Python of the README and of the pages under examples/docs runs as printed, and their links lead somewhere."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from transformers import TrainingArguments

from hf_lcl import ContrastiveTrainingArguments


ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples" / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """Of all pages, in their order."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
def test_the_python_blocks_run_as_printed_one_after_the_other(tmp_path):
    assert len(blocks("python")) == 3
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    results = []
    for block in blocks("python"):
        result = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, env=os.environ, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        results.append(result.stdout)
    assert re.search(r"'label': '[a-z]+'", results[1])


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
