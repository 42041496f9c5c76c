"""What a search tries: fields of `ContrastiveTrainingArguments`, and their values."""

from typing import TYPE_CHECKING, Any

from ..training_args import ContrastiveTrainingArguments


if TYPE_CHECKING:
    from optuna.trial import BaseTrial


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
