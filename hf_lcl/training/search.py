"""Hyperparameter search: the search space, the metric that trials are compared by, and checks before it starts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import EvalPrediction
from transformers.trainer_utils import HPSearchBackend

from ..support.extras import load_extra
from ..training_args import ContrastiveTrainingArguments, is_loss


if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def wide_space(trial: "BaseTrial", args: ContrastiveTrainingArguments) -> dict[str, Any]:
    """
    Values of a trial: learning rate, batch size and weight decay, and for a contrastive objective its temperature
    (0.03 to 1 for cosines, 1 to 1000 for plain dot products) and alpha. `args` are all other settings.
    """
    smallest = max(args.mini_batch_size or 0, 2 * args.samples_per_class)
    sizes = [size for size in (8, 16, 32, 64) if size >= smallest] or [args.per_device_train_batch_size]
    chosen = {
        "learning_rate": trial.suggest_float("learning_rate", 5e-6, 5e-4, log=True),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", sizes),
        "weight_decay": trial.suggest_float("weight_decay", 0.0, 0.1),
    }
    if args.is_contrastive:
        lowest, highest = (0.03, 1.0) if args.normalize_embeddings else (1.0, 1000.0)
        chosen["temperature"] = trial.suggest_float("temperature", lowest, highest, log=True)
        chosen["alpha"] = trial.suggest_float("alpha", 0.05, 0.95)
    return chosen


Space = Callable[[Any], dict[str, Any]]
Compute = Callable[[dict[str, float]], float]


@contextmanager
def pruning(backend: str | None) -> Iterator[None]:
    """Prunes an Optuna trial whose loss is not finite, so that the search continues."""
    try:
        yield
    except FloatingPointError as error:
        if backend != HPSearchBackend.OPTUNA:
            raise
        raise load_extra("optuna", extra="search").TrialPruned(str(error)) from error


def prepare_search(
    args: ContrastiveTrainingArguments,
    eval_dataset: Any,
    compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None,
    num_labels: int,
    has_several_labels: bool,
    space: Space | None,
    compute_objective: Compute | None,
    direction: str | list[str] | None,
    backend: str | None,
) -> tuple[Space, Compute, str | list[str]]:
    """
    The search space, the function from a trial's metrics to its objective, and the direction; by default
    [`wide_space`] and [`validation_metric`]. Converts the float fields of `args` to float.

    Raises:
        ImportError: if optuna is not installed.
        ValueError: without an `eval_dataset`, or for a `direction` that is wrong for the default metric.
    """
    if backend == HPSearchBackend.OPTUNA:
        load_extra("optuna", extra="search")
    if eval_dataset is None:
        raise ValueError("A search compares trials on validation texts: pass eval_dataset.")
    for field in fields(args):
        # The Trainer casts a trial's value to the type of the current one: with an int, such as 10, 0.07 would be 0.
        if field.type is float and getattr(args, field.name) is not None:
            setattr(args, field.name, float(getattr(args, field.name)))
    space = space or partial(wide_space, args=args)
    if compute_objective is not None:
        return space, compute_objective, direction or "minimize"
    sets = list(eval_dataset) if isinstance(eval_dataset, dict) else []
    metric, best = validation_metric(args, compute_metrics, num_labels, sets, has_several_labels)
    if direction not in (None, best):
        raise ValueError(f"direction={direction!r} is wrong for {metric}, which a search has to {best}.")
    return space, itemgetter(metric), best


def validation_metric(
    args: ContrastiveTrainingArguments,
    compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None,
    num_labels: int,
    evaluation_sets: Sequence[str] = (),
    has_several_labels: bool = False,
) -> tuple[str, str]:
    """
    The metric that trials are compared by, and its direction, such as `("eval_macro_f1", "maximize")`. The metric is
    `metric_for_best_model` if given, else macro F1 or accuracy if `compute_metrics` returns it, else the
    cross-entropy. The total loss is never used, since it depends on the temperature and batch size of a trial.

    `compute_metrics` is called once, on one correct prediction per class, to list its metrics; `evaluation_sets` are
    the names of several sets, which metrics begin with.

    Raises:
        ValueError: if there are several evaluation sets, and `metric_for_best_model` names none of them.
    """
    chosen = (args.metric_for_best_model or "loss").removeprefix("eval_")
    metric = "loss_ce"
    if compute_metrics is not None:
        logits = np.eye(num_labels, dtype=np.float32)
        perfect = EvalPrediction(logits, logits if has_several_labels else np.arange(num_labels))
        names = {name.removeprefix("eval_") for name in compute_metrics(perfect)}
        metric = next((name for name in ("macro_f1", "accuracy") if name in names), metric)
    of_set = max((name for name in evaluation_sets if chosen.startswith(f"{name}_")), key=len, default=None)
    if evaluation_sets and of_set is None:
        raise ValueError(
            f"eval_dataset holds several sets ({', '.join(evaluation_sets)}), and a search compares trials by one "
            f"number: name it, such as metric_for_best_model='{evaluation_sets[0]}_{metric}'."
        )
    if chosen != "loss":  # load_best_model_at_end also sets "loss"
        rises = args.greater_is_better
        if rises is None:  # the metric was set after the constructor
            rises = not is_loss(chosen)
        return f"eval_{chosen}", "maximize" if rises else "minimize"
    return f"eval_{metric}", "minimize" if metric == "loss_ce" else "maximize"
