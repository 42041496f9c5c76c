"""The output of a training command: the loss in the progress bar, the predictions and the closing lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import EvalPrediction, ProgressCallback

from ..evaluation import classification_metrics, confused_pairs
from ..evaluation.audit.findings import count_suspects
from ..evaluation.decisions import decided, label_text, probabilities
from ..evaluation.intervals import share_interval
from ..evaluation.summary import FOLDER
from ..evaluation.thresholds import F1_NAMES, REMARK
from ..support.command_line import command_line
from ..support.files import write_csv
from ..trainer import ContrastiveTrainer
from ..training.start import MAX_TEXTS, Start
from .arguments import DataArguments
from .model_arguments import default_encoder
from .model_flags import given_flags


PREDICTIONS = "predictions.csv"
TABLES = ("per_class.csv", "confused_pairs.csv")


class LossInBar(ProgressCallback):
    """Shows the latest loss in the progress bar of training, instead of one line per log."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the bar, named to distinguish it from the bars of the start."""
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.set_description("training")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if self.training_bar is not None and "loss" in (logs or {}):
            self.training_bar.set_postfix_str(f"loss {logs['loss']:.3g}")


def label_check(trainer: ContrastiveTrainer, data_args: DataArguments) -> list[str]:
    """
    An empty list, to which a head start of the trainer appends a closing line if labels look wrong by its embeddings:
    their number, and the command that lists them.
    """
    lines = list[str]()

    def look(features: Tensor, labels: Tensor) -> None:
        total = min(len(trainer.train_dataset), MAX_TEXTS)  # rows of class names may follow
        if labels.dim() > 1 or not trainer.is_world_process_zero():
            return
        if found := count_suspects(features[:total].numpy(), labels[:total].numpy()):
            values, encoder = vars(data_args), trainer.model.config.name_or_path
            flags = given_flags(values | {"label_column_name": data_args.label_column})
            flags += ["--model", encoder] if encoder and encoder != default_encoder() else []
            command = command_line("audit", str(data_args.train_file), *flags)
            lines.append(f"labels     about {found:,} of {total:,} look wrong: {command}")

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, Start):
            callback.listener = look
    return lines


def write_predictions(
    folder: Path, texts: Sequence[str], logits: np.ndarray, labels: np.ndarray, names: list[str]
) -> None:
    """
    Writes `predictions.csv`: `text`, `truth`, `prediction` and its `probability`. Errors come first, the most
    confident on top, then correct predictions, the least confident first. `push` does not publish this file. Logits
    are `(texts, num_labels)`, labels class ids `(texts,)` or, with several labels per text, zeros and ones
    `(texts, num_labels)`. A cell then joins all labels of a text by `|`, and the confidence of a text is that of its
    most confident wrong decision, or of its least confident one if all are right.
    """
    several = labels.ndim == 2
    predicted, found = decided(logits, several), probabilities(logits, several)
    rounded = [[str(round(value, 6)) for value in row] for row in found.tolist()]
    if several:
        is_wrong, sure = predicted != labels.astype(bool), np.maximum(found, 1 - found)
        is_right = ~is_wrong.any(axis=1)
        best = np.where(is_right, sure.min(axis=1), (sure * is_wrong).max(axis=1))
    else:
        is_right, best = predicted == labels, found.max(axis=1)
    order = np.lexsort((np.where(is_right, best, -best), is_right))

    def cells(row: int) -> list[str]:
        answer = predicted[row]
        truth = label_text(labels[row], names)
        return [texts[row], truth, label_text(answer, names), label_text(answer, rounded[row])]

    write_csv(folder / PREDICTIONS, ["text", "truth", "prediction", "probability"], map(cells, order))


def closing_lines(folder: Path) -> list[str]:
    """Where the classifier is, and the command that predicts."""
    return [
        f"model      {folder}, an ordinary classifier of transformers",
        f"next       {command_line('predict', folder, 'FILE', '--output_file', 'labelled.csv')}",
    ]


def summary_lines(
    folder: Path,
    split: str,
    logits: np.ndarray,
    labels: np.ndarray,
    names: list[str],
    cuts: np.ndarray | None,
    temperature: float | None,
) -> list[str]:
    """
    The closing lines, about the texts of a split: accuracy with its 95 % confidence interval, macro F1, the effect of
    the thresholds (`cuts` were subtracted from the logits) or of the `temperature` (the logits were divided by it),
    the most frequent confusions, and the paths of the results.
    """
    several, total, kind = labels.ndim == 2, len(labels), "validation " if split == "validation" else ""
    found = classification_metrics(EvalPrediction(logits, labels))
    right = found["subset_accuracy" if several else "accuracy"]
    low, high = share_interval(round(right * total), total)
    lines = [
        f"{'all right ' if several else 'accuracy  '} {right:.3f} on {total:,} {kind}texts (95 % interval "
        f"{low:.3f} to {high:.3f}), macro F1 {found['macro_f1']:.3f}"
    ]
    if several:
        lines[0] += f", micro F1 {found['micro_f1']:.3f}"
    if cuts is not None:
        uncut = classification_metrics(EvalPrediction(logits + cuts, labels))
        change = (f"{name.replace('_f1', ' F1')} {uncut[name]:.3f} to {found[name]:.3f}" for name in F1_NAMES)
        lines.append(f"thresholds {', '.join(change)}; {REMARK}")
    if temperature is not None:
        scores, classes = torch.from_numpy(logits).float(), torch.from_numpy(labels)
        before, after = (functional.cross_entropy(scores * factor, classes).item() for factor in (temperature, 1.0))
        lines.append(
            f"scaled     by the temperature {temperature:.2f} of the validation texts: negative log-likelihood "
            f"{before:.3f} to {after:.3f}{', worse here; without it: --fold_temperature false' * (after > before)}"
        )
    pairs = confused_pairs(labels, decided(logits, several), names, top=3)
    confused = ", ".join(f"{pair.true} as {pair.predicted} ({pair.count})" for pair in pairs)
    page = folder / FOLDER / "index.html"
    return [
        *lines,
        f"{'missed    ' if several else 'confused  '} {confused or 'nothing'}",
        f"errors     {folder / PREDICTIONS}, the most confident errors first",
        f"report     {page}" if page.is_file() else 'report     none: pip install "hf_lcl[plots]"',
        *closing_lines(folder),
    ]
