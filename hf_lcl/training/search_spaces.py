"""What a search tries: fields of `ContrastiveTrainingArguments`, and their values."""

from itertools import product
from typing import TYPE_CHECKING, Any

from ..training_args import ContrastiveTrainingArguments


if TYPE_CHECKING:
    from optuna.trial import BaseTrial

PAPER_VALUES = {
    "alpha": [0.1, 0.2, 0.7],
    "temperature": [0.07, 7.0, 10.0, 100.0, 1000.0],
    "per_device_train_batch_size": [4, 8, 32],
}


def paper_grid() -> list[dict[str, Any]]:
    """
    The 45 settings of "Happy is Farther From Sad Than Joyful".

    Example:

    ```python
    >>> from hf_lcl.search import paper_grid

    >>> len(paper_grid()), paper_grid()[0]
    (45, {'alpha': 0.1, 'temperature': 0.07, 'per_device_train_batch_size': 4})
    ```
    """
    return [dict(zip(PAPER_VALUES, values)) for values in product(*PAPER_VALUES.values())]


def paper_space(trial: "BaseTrial", args: ContrastiveTrainingArguments) -> dict[str, Any]:
    """
    One of the settings of [`paper_grid`]. The paper compares plain dot products.

    Args:
        trial (`optuna.trial.BaseTrial`): chooses.
        args ([`ContrastiveTrainingArguments`]): all other settings.
    """
    chosen = {name: trial.suggest_categorical(name, values) for name, values in PAPER_VALUES.items()}
    return chosen | {"normalize_embeddings": False}


def wide_space(trial: "BaseTrial", args: ContrastiveTrainingArguments) -> dict[str, Any]:
    """
    Learning rate, batch size and weight decay, and what the objective has: its temperature (from 0.03 to 1 for
    cosines, from 1 to 1000 for plain dot products) and the share of cross-entropy.

    Args:
        trial (`optuna.trial.BaseTrial`): chooses.
        args ([`ContrastiveTrainingArguments`]): all other settings.
    """
    chosen = {
        "learning_rate": trial.suggest_float("learning_rate", 5e-6, 5e-4, log=True),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [8, 16, 32, 64]),
        "weight_decay": trial.suggest_float("weight_decay", 0.0, 0.1),
    }
    if args.is_contrastive:
        lowest, highest = (0.03, 1.0) if args.normalize_embeddings else (1.0, 1000.0)
        chosen["temperature"] = trial.suggest_float("temperature", lowest, highest, log=True)
        chosen["alpha"] = trial.suggest_float("alpha", 0.05, 0.95)
    return chosen
