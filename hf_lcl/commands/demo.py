"""`python -m hf_lcl demo`: a page to try a finished classifier, or a Space with one."""

import sys
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..data.corrections import READER, label_of, written_corrections
from ..evaluation.audit.writing import COLUMNS
from ..evaluation.demo_page import MISREAD, build_page
from ..evaluation.explorer import Explorer
from ..evaluation.finished import load_finished
from ..support.files import check_output, write_whole
from .closing import PREDICTIONS
from .columns import set_columns
from .exits import UsageError, wrong_usage
from .model_flags import add_data_flags, model_folder, model_parser, parse_model_flags


DESCRIPTION = """\
Serves a page on this machine (http://127.0.0.1:7860) to try a classifier: type a text, see its most likely classes,
the closest training texts and the classes that are often confused with these, and correct the label.

  python -m hf_lcl demo out --train_file train.csv
  python -m hf_lcl demo out --audit_file audit.csv         # also: keep, change or drop the rows in the list of `audit`
  python -m hf_lcl demo me/my-classifier --space space     # write a Space instead, and serve nothing

Corrections are appended to corrections.csv, in the format that train reads. Nothing leaves the machine. Needs gradio:
pip install "hf_lcl[web]"."""
SPACE_APP = """\
import gradio as gr
from transformers import pipeline


classify = pipeline("text-classification", model={repo_id!r}, top_k=5)


def answer(text):
    return {{found["label"]: found["score"] for found in classify(text, truncation=True)}}


gr.Interface(answer, gr.Textbox(label="Text", lines=3), gr.Label(label="Likeliest classes"), title={title!r}).launch()
"""


def main(argv: list[str]) -> None:
    parser = model_parser("demo", DESCRIPTION)
    add_data_flags(parser, "the training texts, of which the closest are shown", "train_file", "label_column_name")
    add = parser.add_argument_group("the page").add_argument
    add(
        "--corrections",
        type=Path,
        default=Path("corrections.csv"),
        help="csv file to which corrected texts are appended",
    )
    listed = "the list that `audit` wrote: its flagged rows are shown one by one, to decide on"
    add("--audit_file", type=Path, help=listed)
    add("--port", type=int, default=7860, help="port of the page on 127.0.0.1")
    add("--space", type=Path, metavar="DIR", help="write a Space for the Hub into this folder, and serve nothing")
    flags, data_args = parse_model_flags(parser, argv)
    if not 0 < flags.port < 2**16:
        raise UsageError(f"--port {flags.port} is no port: use 7860, or another number from 1 to 65535.")
    if flags.space is not None:
        write_space(flags.space, flags.model)
        print(flags.space)
        return
    with wrong_usage():
        check_output(flags.corrections, [])
        if flags.train_file is not None:
            set_columns(data_args, flags.train_file)
    rows = []
    if flags.train_file is not None:
        text, label = data_args.text_column_names, data_args.label_column
        rows = list(data_args.reader.rows(flags.train_file, text, columns=[label], label_column=label))
    suspects = [] if flags.audit_file is None else undecided(flags.audit_file, flags.corrections)
    model, tokenizer = load_finished(flags.model, trust_remote_code=flags.trust_remote_code, revision=flags.revision)
    explorer = Explorer(
        flags.model,
        model,
        tokenizer,
        max_seq_length=flags.max_seq_length,
        texts=[data_args.text_of(row) for row in rows],
        labels=[label_of(row, data_args.label_column) for row in rows],
    )
    page = build_page(explorer, Path(flags.model).name, flags.corrections, misread(Path(flags.model)), suspects)
    page.launch(server_name="127.0.0.1", server_port=flags.port, share=False)


def misread(folder: Path) -> list[dict[str, str]]:
    """The rows of the `predictions.csv` of `train` whose prediction is wrong; none where there is no such file."""
    path = folder / PREDICTIONS
    if not path.is_file() or not {*MISREAD} <= {*READER.columns(path)}:  # that of `predict` has no truth
        return []
    rows = (row.values for row in READER.rows(path, ["text"]))
    return [row for row in rows if row["truth"] != row["prediction"]]


def undecided(audit: Path, corrections: Path) -> list[dict[str, str]]:
    """
    The flagged rows of a list of `audit` without a decision, neither in the list nor in the corrections. Raises a
    `ValueError` if the file does not exist or is not such a list.
    """
    if not audit.is_file():
        raise UsageError(f"--audit_file {audit} does not exist: `hf-lcl audit FILE --output_file {audit}` writes it.")
    columns = READER.columns(audit)
    if missing := [name for name in COLUMNS if name not in columns]:
        raise ValueError(f"{audit} has no column {missing[0]!r}: it is no list that `hf-lcl audit` wrote.")
    decided = {(row.get("line"), row["text"].strip()) for row in written_corrections(corrections)[1]}
    flagged = (row.values for row in READER.rows(audit, ["text"]) if row.values["flag"])
    return [
        row for row in flagged if not row["decision"].strip() and (row["line"], row["text"].strip()) not in decided
    ]


def write_space(folder: Path, model: str) -> None:
    """
    Writes a Space into a new or empty folder. It runs a published classifier and needs only transformers, torch and
    gradio. `model` is a Hub id, or a folder to be published under its own name. The Space has no training texts.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: name another folder for --space.")
    repo_id = f"USER/{model_folder(model).resolve().name}" if Path(model).is_dir() else model
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(
            f"{model} is no id on the Hub, and no folder with a name for it ({error}): name the model as in `hf-lcl "
            f"demo USER/my-model --space {folder}`."
        ) from error
    if repo_id != model:
        print(f"Replace USER in {folder}/app.py and {folder}/README.md by your name on the Hub.", file=sys.stderr)
    title = repo_id.rpartition("/")[2]
    metadata = SpaceCardData(title=title, sdk="gradio", app_file="app.py", models=[repo_id])
    text = f"Runs [{repo_id}](https://huggingface.co/{repo_id}).\n"
    write_whole(folder / "README.md", str(SpaceCard(f"---\n{metadata.to_yaml()}\n---\n\n{text}")))
    write_whole(folder / "app.py", SPACE_APP.format(repo_id=repo_id, title=title))
    write_whole(folder / "requirements.txt", "gradio\ntorch\ntransformers\n")
