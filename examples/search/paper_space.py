"""The search grid of "Happy is Farther From Sad Than Joyful", by field of `ContrastiveTrainingArguments`."""

from itertools import product
from typing import TYPE_CHECKING, Any

from hf_lcl import ContrastiveTrainingArguments


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
    >>> from paper_space import paper_grid

    >>> len(paper_grid()), paper_grid()[0]
    (45, {'alpha': 0.1, 'temperature': 0.07, 'per_device_train_batch_size': 4})
    ```
    """
    return [dict(zip(PAPER_VALUES, values)) for values in product(*PAPER_VALUES.values())]


def paper_space(trial: "BaseTrial", args: ContrastiveTrainingArguments) -> dict[str, Any]:
    """
    One of the settings of [`paper_grid`]. The paper uses plain dot products as similarities.

    Args:
        trial (`optuna.trial.BaseTrial`): suggests the values.
        args ([`ContrastiveTrainingArguments`]): all other settings.
    """
    chosen = {name: trial.suggest_categorical(name, values) for name, values in PAPER_VALUES.items()}
    return chosen | {"normalize_embeddings": False}
