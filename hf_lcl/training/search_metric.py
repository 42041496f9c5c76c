"""What a search looks at."""

from collections.abc import Callable

import numpy as np
from transformers import EvalPrediction

from ..training_args import ContrastiveTrainingArguments


def validation_metric(
    args: ContrastiveTrainingArguments,
    compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None,
    num_labels: int,
) -> tuple[str, str]:
    """
    The metric that trials are compared by, and its direction: `metric_for_best_model` where it is given, else macro F1
    or accuracy where `compute_metrics` has them, else the cross-entropy. Never the whole loss: it depends on the
    temperature and the batch that a trial tries.

    Args:
        args ([`ContrastiveTrainingArguments`]): may have `metric_for_best_model` and `greater_is_better`.
        compute_metrics (`Callable`, *optional*): the trainer's; asked once, with one right prediction per class.
        num_labels (`int`): number of classes.

    Returns:
        `tuple[str, str]`: such as `("eval_macro_f1", "maximize")`.

    Example:

    ```python
    >>> from hf_lcl import ContrastiveTrainingArguments, classification_metrics
    >>> from hf_lcl.training.search_metric import validation_metric

    >>> validation_metric(ContrastiveTrainingArguments("out"), classification_metrics, num_labels=3)
    ('eval_macro_f1', 'maximize')
    ```
    """
    chosen = (args.metric_for_best_model or "loss").removeprefix("eval_")
    if chosen != "loss":  # which is also what load_best_model_at_end puts there
        falls = chosen.startswith("loss") or not args.greater_is_better
        return f"eval_{chosen}", "minimize" if falls else "maximize"
    if compute_metrics is not None:
        perfect = EvalPrediction(np.eye(num_labels, dtype=np.float32), np.arange(num_labels))
        names = {name.removeprefix("eval_") for name in compute_metrics(perfect)}
        for name in ("macro_f1", "accuracy"):
            if name in names:
                return f"eval_{name}", "maximize"
    return "eval_loss_ce", "minimize"
