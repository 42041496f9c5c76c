"""What the trials of a hyperparameter search are compared by, and what a search needs before it begins."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from transformers import EvalPrediction

from ..training_args import ContrastiveTrainingArguments


def prepare_search(args: ContrastiveTrainingArguments, eval_dataset: Any) -> None:
    """
    Refuses a search that cannot compare its trials, and makes `args` ready for the values of trials.

    Args:
        args ([`ContrastiveTrainingArguments`]): fields of type float get a float.
        eval_dataset: the trainer's.

    Raises:
        ValueError: without an `eval_dataset`, or for `head_refit=True` with evaluations before the classifier is
            fitted.
    """
    if eval_dataset is None:
        raise ValueError("A search compares trials on validation texts: pass eval_dataset.")
    if args.head_refit and args.eval_strategy != "no":
        raise ValueError(
            "head_refit=True fits the classifier when training ends, but "
            f"eval_strategy={args.eval_strategy.value!r} judges it before: set eval_strategy='no'."
        )
    for field in fields(args):
        # The Trainer casts a trial's value to the type of the present one: after temperature=10, 0.07 would be 0.
        value = getattr(args, field.name)
        if field.type is float and value is not None:
            setattr(args, field.name, float(value))


def validation_metric(
    args: ContrastiveTrainingArguments,
    compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None,
    num_labels: int,
    evaluation_sets: Sequence[str] = (),
) -> tuple[str, str]:
    """
    The metric that trials are compared by, and its direction: `metric_for_best_model` where it is given, else macro F1
    or accuracy where `compute_metrics` has them, else the cross-entropy. Never the whole loss: it depends on the
    temperature and the batch that a trial tries.

    Args:
        args ([`ContrastiveTrainingArguments`]): may have `metric_for_best_model` and `greater_is_better`.
        compute_metrics (`Callable`, *optional*): the trainer's; asked once, with one right prediction per class.
        num_labels (`int`): number of classes.
        evaluation_sets (`Sequence[str]`, *optional*): names of several evaluation sets, which metrics begin with.

    Returns:
        `tuple[str, str]`: such as `("eval_macro_f1", "maximize")`.

    Raises:
        ValueError: if there are several evaluation sets, and `metric_for_best_model` names none of them.

    Example:

    ```python
    >>> from hf_lcl import ContrastiveTrainingArguments, classification_metrics
    >>> from hf_lcl.training.search import validation_metric

    >>> validation_metric(ContrastiveTrainingArguments("out"), classification_metrics, num_labels=3)
    ('eval_macro_f1', 'maximize')
    ```
    """
    chosen = (args.metric_for_best_model or "loss").removeprefix("eval_")
    metric = "loss_ce"
    if compute_metrics is not None:
        perfect = EvalPrediction(np.eye(num_labels, dtype=np.float32), np.arange(num_labels))
        names = {name.removeprefix("eval_") for name in compute_metrics(perfect)}
        metric = next((name for name in ("macro_f1", "accuracy") if name in names), metric)
    of_set = max((name for name in evaluation_sets if chosen.startswith(f"{name}_")), key=len, default=None)
    if evaluation_sets and of_set is None:
        raise ValueError(
            f"eval_dataset holds several sets ({', '.join(evaluation_sets)}), and a search compares trials by one "
            f"number: name it, such as metric_for_best_model='{evaluation_sets[0]}_{metric}'."
        )
    if chosen != "loss":  # which is also what load_best_model_at_end puts there
        falls = chosen.removeprefix(f"{of_set}_").startswith("loss") or args.greater_is_better is False
        return f"eval_{chosen}", "minimize" if falls else "maximize"
    return f"eval_{metric}", "minimize" if metric == "loss_ce" else "maximize"
