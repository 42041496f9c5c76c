"""A local page on which people try a classifier, see why it answers as it does, and correct it (extra `web`)."""

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..support.extras import load_extra
from .explorer import MARGIN, Explorer


if TYPE_CHECKING:
    import gradio

NEIGHBOURS = ["training text", "label", "cosine"]
CONFUSED = ["class", "other class", "how it is known", "share"]
MISREAD = ["text", "truth", "prediction", "probability"]
EVERY_PAIR = "every pair of classes"


def build_page(explorer: Explorer, title: str, corrections: Path, misread: list[dict[str, str]]) -> "gradio.Blocks":
    """
    The page; `.launch()` serves it.

    Args:
        explorer ([`Explorer`]): answers.
        title (`str`): heading of the page.
        corrections (`Path`): the csv file to which corrected texts are appended, with the columns `text` and `label`.
        misread (`list[dict[str, str]]`): test texts that were misread, with the columns of `predictions.csv`.

    Raises:
        ImportError: if gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    gr = load_extra("gradio", extra="web")

    def ask(text: str) -> tuple:
        try:
            answer = explorer.ask(text or "")
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        best, *others = answer.classes
        verdict = f"**{best}**" if answer.is_sure else f"Not sure: **{best}** or **{others[0]}**"
        confused = [[*pair, f"{share:.0%}"] for *pair, share in answer.confused]
        neighbours = [[text, label, round(cosine, 3)] for text, label, cosine in answer.neighbours]
        return verdict, answer.classes, neighbours, confused, best

    def correct(text: str, label: str | None) -> str:
        if not (text or "").strip() or label is None:
            raise gr.Error("Type a text and choose its class first.", print_exception=False)
        return f"Saved. {append_correction(corrections, text, label)} texts stand in {corrections}."

    def of_pair(pair: str) -> list[list[str]]:
        return [[row[name] for name in MISREAD] for row in misread if pair in (EVERY_PAIR, _pair(row))]

    with gr.Blocks(title=title, analytics_enabled=False) as page:
        gr.Markdown(f"# {title}")
        with gr.Tab("Try it"):
            text = gr.Textbox(label="Text", lines=3, elem_id="text")
            button = gr.Button("Classify", variant="primary", elem_id="classify")
            verdict = gr.Markdown(elem_id="verdict")
            classes = gr.Label(label=f"Likeliest classes (not sure below {MARGIN:.0%} between the first two)")
            neighbours = gr.Dataframe(headers=NEIGHBOURS, label="Why: the closest training texts", wrap=True)
            confused = gr.Dataframe(headers=CONFUSED, label="What texts of these classes are taken for")
            with gr.Row():
                label = gr.Dropdown(explorer.names, label="The right class", elem_id="label")
                save = gr.Button("Save as a correction", elem_id="save")
            saved = gr.Markdown(elem_id="saved")
        with gr.Tab("Misread test texts"):
            pairs = sorted({_pair(row) for row in misread})
            chosen = gr.Dropdown([EVERY_PAIR, *pairs], value=EVERY_PAIR, label="Truth and prediction")
            rows = gr.Dataframe(of_pair(EVERY_PAIR), headers=MISREAD, label="Most confident errors first", wrap=True)
        gr.on([button.click, text.submit], ask, text, [verdict, classes, neighbours, confused, label], api_name=False)
        save.click(correct, [text, label], saved, api_name=False)
        chosen.change(of_pair, chosen, rows, api_name=False)
    return page


def append_correction(path: Path, text: str, label: str) -> int:
    """Appends a row to the csv file, which is made where it is not there, and returns its number of rows."""
    is_new = not path.exists() or not path.stat().st_size
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["text", "label"])
        writer.writerow([text.strip(), label])
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def _pair(row: dict[str, str]) -> str:
    return f"{row['truth']} read as {row['prediction']}"
