"""A training run in time: the loss with its parts, and what evaluation said."""

from typing import TYPE_CHECKING, Any

from .theme import Theme, new_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = {
    "loss": "loss",
    "loss_ce": "cross-entropy",
    "loss_weighting": "cross-entropy of the weighting network",
    "loss_contrastive": "contrastive",
}
SCORES = {"eval_accuracy": "accuracy", "eval_macro_f1": "macro F1"}


def plot_training_curves(log_history: list[dict[str, Any]], theme: Theme) -> "Figure":
    """
    Losses by step, and accuracy and macro F1 by step where there were evaluations.

    Args:
        log_history (`list[dict]`): of the Trainer's state.
        theme ([`Theme`]): the colours.
    """
    panels = [_present(log_history, LOSSES)]
    scores = _present(log_history, SCORES)
    if scores:
        panels.append(scores)
    figure = new_figure(0.6 + 4.6 * len(panels), 4.2)
    for axes, curves, title in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, ("Loss", "Evaluation")):
        for color, (label, points) in zip(theme.colors, curves.items()):
            few = len(points) <= 40
            axes.plot(*zip(*points), label=label, color=color, marker="o" if few else None, markersize=3)
        if title == "Loss":
            evaluated = _present(log_history, {"eval_loss": "loss in evaluation"})
            for label, points in evaluated.items():
                axes.plot(*zip(*points), label=label, color=theme.colors[4], linestyle="--", marker="s", markersize=4)
        axes.set(title=title, xlabel="step")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def _present(log_history: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, list[tuple[int, float]]]:
    """Label to points, for the values that were logged."""
    curves = {
        label: [(line["step"], line[name]) for line in log_history if name in line] for name, label in labels.items()
    }
    return {label: points for label, points in curves.items() if points}
