"""A local page on which people try a classifier, see why it answers as it does, and correct it (extra `web`)."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.corrections import CHANGE, DECISIONS, append_correction
from ..support.extras import load_extra
from .explorer import UNSURE_MARGIN, Explorer


if TYPE_CHECKING:
    import gradio

MISREAD = ["text", "truth", "prediction", "probability"]
CUTS = {
    "wanted": "wanted accuracy",
    "reject_below": "leave to a person below",
    "answered": "texts answered",
    "accuracy": "their accuracy",
}
EVERY_PAIR = "every pair of classes"
WRITING = "corrections"  # events that write the file of corrections wait for one another


def build_page(
    explorer: Explorer,
    title: str,
    corrections: Path,
    misread: list[dict[str, str]],
    suspects: Sequence[dict[str, str]] = (),
) -> "gradio.Blocks":
    """
    The page, which shows the answers of `explorer`; `.launch()` serves it. Corrected texts are appended to the csv
    file `corrections`, see [`append_correction`]. `misread` are rows of `predictions.csv`, test texts with errors;
    `suspects` are rows of the list of `audit`, labels to check. Raises an `ImportError` without gradio.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    gr = load_extra("gradio", extra="web")

    def ask(text: str) -> tuple:
        with _shown_errors(gr):
            answer = explorer.ask(text or "")
        best, *others = answer.classes
        verdict = f"**{best}**" if answer.is_sure else f"Not sure: **{best}** or **{others[0]}**"
        verdict += f"  \n{answer.remark}" if answer.remark else ""
        confused = [[*pair, f"{share:.0%}"] for *pair, share in answer.confused]
        neighbours = [[text, label, round(cosine, 3)] for text, label, cosine in answer.neighbours]
        return verdict, answer.classes, neighbours, confused, best

    def correct(text: str, label: str | None) -> str:
        if not (text or "").strip() or label is None:
            raise gr.Error("Type a text and choose its class first.", print_exception=False)
        with _shown_errors(gr):
            return f"Saved. {append_correction(corrections, text, label)} texts stand in {corrections}."

    def of_pair(pair: str) -> list[list[str]]:
        return [[row[name] for name in MISREAD] for row in misread if pair in (EVERY_PAIR, _pair(row))]

    with gr.Blocks(title=title, analytics_enabled=False) as page:
        gr.Markdown(f"# {title}")
        with gr.Tab("Try it"):
            text = gr.Textbox(label="Text", lines=3, elem_id="text")
            button = gr.Button("Classify", variant="primary", elem_id="classify")
            verdict = gr.Markdown(elem_id="verdict")
            classes = gr.Label(label=f"Likeliest classes (not sure below {UNSURE_MARGIN:.0%} between the first two)")
            columns = ["training text", "label", "cosine"]
            neighbours = gr.Dataframe(headers=columns, label="Why: the closest training texts", wrap=True)
            columns = ["class", "other class", "how it is known", "share"]
            confused = gr.Dataframe(headers=columns, label="What texts of these classes are taken for")
            with gr.Row():
                label = gr.Dropdown(explorer.names, label="The right class", elem_id="label")
                save = gr.Button("Save as a correction", elem_id="save")
            saved = gr.Markdown(elem_id="saved")
        with gr.Tab("Misread test texts"):
            pairs = sorted({_pair(row) for row in misread})
            chosen = gr.Dropdown([EVERY_PAIR, *pairs], value=EVERY_PAIR, label="Truth and prediction")
            rows = gr.Dataframe(of_pair(EVERY_PAIR), headers=MISREAD, label="Most confident errors first", wrap=True)
        if explorer.curve is not None:
            with gr.Tab("When to ask a person"):
                _add_curve(gr, explorer)
        if suspects:
            with gr.Tab("Labels to check"):
                _add_suspects(gr, explorer.names, corrections, suspects, page)
        gr.on([button.click, text.submit], ask, text, [verdict, classes, neighbours, confused, label], api_name=False)
        save.click(correct, [text, label], saved, api_name=False, concurrency_id=WRITING)
        chosen.change(of_pair, chosen, rows, api_name=False)
    return page


def _add_curve(gr: Any, explorer: Explorer) -> None:
    """The accuracy by share of answered texts, and the cuts for some accuracies, as measured by the report."""
    gr.LinePlot(
        explorer.curve,
        x="answered",
        y="accuracy",
        x_title="share of texts that are answered, the surest first",
        y_title="accuracy of the answers",
        label="Test texts of the report",
        tooltip="all",
    )
    rows = [[f"{row[name]:.1%}" for name in CUTS] for row in explorer.cuts]
    gr.Dataframe(rows, headers=list(CUTS.values()), label="The cut for a wanted accuracy (predict --reject_below)")


# On this tab, the keys k, c and d press the buttons.
KEYS = """() => document.addEventListener("keydown", event => {
    const name = {k: "keep", c: "change", d: "drop"}[event.key], button = name && document.querySelector("#" + name);
    const types = ["INPUT", "TEXTAREA"].includes(document.activeElement.tagName);
    if (button && button.offsetParent && !types && !event.ctrlKey && !event.metaKey) button.click();
})"""


def _add_suspects(
    gr: Any, names: list[str], corrections: Path, suspects: Sequence[dict[str, str]], page: "gradio.Blocks"
) -> None:
    """One row of the list at a time, its reason, and three buttons."""

    def show(place: int) -> tuple:
        if place >= len(suspects):
            return place, f"**All {len(suspects)} are decided.**", "", [], None
        row = suspects[place]
        near = [[row[f"nearest_{rank}"], row[f"nearest_{rank}_label"], row[f"nearest_{rank}_line"]] for rank in "123"]
        likely = f" · looks like **{row['suggested']}**" if row["suggested"] != row["label"] else ""
        head = f"{place + 1} of {len(suspects)} · line {row['line']} · {row['flag']}"
        return place, f"{head} · label **{row['label']}**{likely}", row["text"], near, row["suggested"]

    def decide(decision: str, place: int, label: str | None) -> tuple:
        if place < len(suspects):
            row = suspects[place]
            new = label if decision == CHANGE and label else row["label"]
            with _shown_errors(gr):
                append_correction(corrections, row["text"], new, decision, row["line"])
        return show(place + 1)

    place = gr.State(0)
    said = gr.Markdown(elem_id="suspect")
    text = gr.Textbox(label="Text", interactive=False)
    near = gr.Dataframe(headers=["nearest text", "label", "line"], label="Why", wrap=True)
    label = gr.Dropdown(names, label="Change to", allow_custom_value=True, elem_id="new_label")
    with gr.Row():
        for decision in DECISIONS:
            button = gr.Button(f"{decision.capitalize()} ({decision[0]})", elem_id=decision)
            shown = [place, said, text, near, label]
            button.click(partial(decide, decision), [place, label], shown, api_name=False, concurrency_id=WRITING)
    page.load(show, place, [place, said, text, near, label], api_name=None)
    page.load(None, js=KEYS)


@contextmanager
def _shown_errors(gr: Any) -> Iterator[None]:
    """The page shows the message of a `ValueError` in its block."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _pair(row: dict[str, str]) -> str:
    return f"{row['truth']} read as {row['prediction']}"
