"""The results of a search: a table, a heat map, and the best setting as a settings file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from paper_space import PAPER_VALUES

from hf_lcl.evaluation.plots.matrices import readable_on
from hf_lcl.evaluation.plots.theme import new_figure, save_picture
from hf_lcl.support.extras import load_extra
from hf_lcl.support.files import write_csv, write_json


if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna.trial import BaseTrial, FrozenTrial


def ranked(trials: Sequence["FrozenTrial"], direction: str) -> list["FrozenTrial"]:
    """The completed trials, best first; ties are broken by trial number."""
    completed = [trial for trial in trials if trial.state.name == "COMPLETE"]
    sign = -1 if direction == "maximize" else 1
    return sorted(completed, key=lambda trial: (sign * trial.value, trial.number))


def trial_row(trial: "FrozenTrial", metric: str, parameters: Sequence[str]) -> dict[str, Any]:
    """One row of the table of trials."""
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        metric: trial.value,
        **{name: trial.params.get(name) for name in parameters},
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
    }


def write_trials(trials: Sequence["FrozenTrial"], metric: str, path: Path) -> None:
    """
    Writes all trials to a CSV file; the value of a pruned trial is the last that it reported.

    Args:
        trials (`Sequence[FrozenTrial]`): at least one.
        metric (`str`): name of the metric.
        path (`Path`): the file.
    """
    parameters = sorted({name for trial in trials for name in trial.params})
    rows = [trial_row(trial, metric, parameters) for trial in trials]
    write_csv(path, list(rows[0]), (row.values() for row in rows))


def given_settings(*arguments: Any, leave_out: Sequence[str] = ("token", "hub_token")) -> dict[str, Any]:
    """
    The fields of dataclasses that differ from their defaults: a settings file for the same command.

    Args:
        *arguments: dataclass instances.
        leave_out (`Sequence[str]`, *optional*, defaults to `("token", "hub_token")`): fields never to write to a file.
    """
    settings = {}
    for group in arguments:
        needed = {"model_name_or_path", "output_dir"} & {field.name for field in fields(group)}
        usual = type(group)(**{name: getattr(group, name) for name in needed})
        for field in fields(group):
            value = getattr(group, field.name)
            is_given = field.name in needed or value != getattr(usual, field.name)
            if field.init and is_given and field.name not in leave_out:
                settings[field.name] = value
    return json.loads(json.dumps(settings, default=asdict))  # as JSON stores them: enums are strings


def write_best(
    best: "FrozenTrial",
    space: Callable[["BaseTrial"], dict[str, Any]],
    settings: dict[str, Any],
    folder: Path,
) -> None:
    """
    Writes `best.json`, the settings for `run_classification.py` that train like the best trial.

    Args:
        best (`FrozenTrial`): the best trial.
        space (`Callable`): maps a trial to settings.
        settings (`dict`): all other settings, as from [`given_settings`].
        folder (`Path`): folder of the file; the classifier will be saved to its subfolder `best`.
    """
    optuna = load_extra("optuna", extra="search")
    chosen = space(optuna.trial.FixedTrial(best.params))
    settings = settings | chosen | {"do_train": True, "do_eval": True, "output_dir": str(folder / "best")}
    write_json(folder / "best.json", settings)


def save_heat_map(trials: Sequence["FrozenTrial"], metric: str, direction: str, folder: Path) -> list[Path]:
    """
    Plots the metric by alpha and temperature, one panel per batch size, in both themes.

    Args:
        trials (`Sequence[FrozenTrial]`): trials of [`paper_space`].
        metric (`str`): name of the metric.
        direction (`str`): `"maximize"` or `"minimize"`.
        folder (`Path`): folder of `heat_map.png` and `heat_map_dark.png`.

    Returns:
        `list[Path]`: the two files.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    return save_picture(lambda: plot_heat_map(trials, metric, direction), folder, "heat_map")


def heat_map_values(trials: Sequence["FrozenTrial"]) -> tuple[np.ndarray, np.ndarray]:
    """
    The metric at each point of the paper's grid.

    Args:
        trials (`Sequence[FrozenTrial]`): trials of [`paper_space`].

    Returns:
        `tuple[np.ndarray, np.ndarray]`: values, NaN where there is none, and whether the trial was pruned; both of
        shape `(batch sizes, alphas, temperatures)`.
    """
    axes = [PAPER_VALUES[name] for name in ("per_device_train_batch_size", "alpha", "temperature")]
    values = np.full([len(axis) for axis in axes], np.nan)
    pruned = np.zeros(values.shape, dtype=bool)
    for trial in trials:
        if trial.state.name not in ("COMPLETE", "PRUNED"):
            continue
        chosen = [trial.params[name] for name in ("per_device_train_batch_size", "alpha", "temperature")]
        cell = tuple(axis.index(value) for axis, value in zip(axes, chosen))
        pruned[cell] = trial.state.name == "PRUNED"
        values[cell] = np.nan if trial.value is None else trial.value
    return values, pruned


def plot_heat_map(trials: Sequence["FrozenTrial"], metric: str, direction: str) -> "Figure":
    """
    The metric by alpha and temperature, one panel per batch size. Values of pruned trials are in brackets.

    Args:
        trials (`Sequence[FrozenTrial]`): trials of [`paper_space`], at least one of them completed.
        metric (`str`): name of the metric.
        direction (`str`): `"maximize"` or `"minimize"`; the best value contrasts most with the background.
    """
    values, pruned = heat_map_values(trials)
    colormap = load_extra("matplotlib", extra="plots").colormaps.get_cmap(None)  # the style's default
    if direction == "minimize":
        colormap = colormap.reversed()
    found = values[np.isfinite(values)]
    figure = new_figure(3.4 * len(values) + 0.8, 2.6)
    panels = figure.subplots(1, len(values), sharey=True)
    alphas, temperatures = PAPER_VALUES["alpha"], PAPER_VALUES["temperature"]
    for axes, size, grid, cut in zip(panels, PAPER_VALUES["per_device_train_batch_size"], values, pruned):
        image = axes.imshow(grid, cmap=colormap, vmin=found.min(), vmax=found.max(), aspect="auto")
        axes.set(title=f"batch size {size}", xlabel="temperature")
        axes.set_xticks(range(len(temperatures)), [f"{value:g}" for value in temperatures])
        axes.set_yticks(range(len(alphas)), [f"{value:g}" for value in alphas])
        axes.grid(False)
        for row, column in np.argwhere(np.isfinite(grid)):
            text = f"({grid[row, column]:.3f})" if cut[row, column] else f"{grid[row, column]:.3f}"
            color = readable_on(image.cmap(image.norm(grid[row, column])))
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    panels[0].set_ylabel("alpha")
    figure.colorbar(image, ax=list(panels), label=metric)
    return figure
