"""Defaults of learning rate, batch size and epochs, chosen from the data and the encoder."""

import numpy as np


# Tuned on an encoder of this width (all-MiniLM-L6-v2, examples/results/accuracy.md); wider ones need lower rates.
MEASURED_HIDDEN_SIZE = 384
LEARNING_RATE, LEARNING_RATE_OF_MANY_CLASSES, MANY_CLASSES = 1e-4, 2e-4, 64
# Small training sets get more epochs: enough for about `STEPS` steps, but at most `MOST_EPOCHS`.
STEPS, MOST_EPOCHS = 480, 40
LEAST_EPOCHS, LEAST_EPOCHS_OF_SMALL_CLASSES, SMALL_CLASS_TEXTS = 3, 5, 200
BATCH_SIZE, SMALL_BATCH_SIZE, FEW_TEXTS, FEW_CLASSES = 32, 16, 1000, 10


def recommended_settings(
    num_texts: int, num_classes: int, hidden_size: int = MEASURED_HIDDEN_SIZE
) -> dict[str, float]:
    """
    The settings that `train FILE` chooses: learning rate, batch size, number of epochs (at most) and warm-up, as
    fields of [`ContrastiveTrainingArguments`]. They are those of the study (`examples/results/accuracy.md`).

    Args:
        num_texts (`int`): training texts.
        num_classes (`int`): classes.
        hidden_size (`int`, *optional*, defaults to 384): width of the encoder, its `config.hidden_size`.

    Raises:
        ValueError: if one of them is less than 1.

    Example:

    ```python
    >>> from hf_lcl import ContrastiveTrainingArguments, recommended_settings

    >>> settings = recommended_settings(num_texts=770, num_classes=77)
    >>> settings
    {'learning_rate': 0.0002, 'per_device_train_batch_size': 32, 'num_train_epochs': 20, 'warmup_steps': 0.1}
    >>> args = ContrastiveTrainingArguments("runs/intents", **settings)
    ```
    """
    if min(num_texts, num_classes, hidden_size) < 1:
        raise ValueError(
            f"num_texts={num_texts}, num_classes={num_classes}, hidden_size={hidden_size}: each is at least 1."
        )
    return {name: value for name, (value, _) in choose_recipe(num_texts, num_classes, hidden_size).items()}


def choose_recipe(num_texts: int, num_classes: int, hidden_size: int) -> dict[str, tuple[float, str]]:
    """The [`recommended_settings`], each with its reason."""
    is_small = num_texts < FEW_TEXTS and num_classes < FEW_CLASSES
    batch = SMALL_BATCH_SIZE if is_small else BATCH_SIZE
    are_small_classes = num_texts < SMALL_CLASS_TEXTS * num_classes
    least = LEAST_EPOCHS_OF_SMALL_CLASSES if are_small_classes else LEAST_EPOCHS
    epochs = int(np.clip(round(STEPS * batch / num_texts), least, MOST_EPOCHS))
    rate = LEARNING_RATE_OF_MANY_CLASSES if num_classes >= MANY_CLASSES else LEARNING_RATE
    rate = float(f"{rate * min(1.0, MEASURED_HIDDEN_SIZE / hidden_size) ** 2:.1g}")
    steps, per_class = epochs * -(-num_texts // batch), round(num_texts / num_classes)
    return {
        "learning_rate": (rate, f"{num_classes} classes, an encoder of width {hidden_size}"),
        "per_device_train_batch_size": (batch, "few texts of few classes" if is_small else "room for several classes"),
        "num_train_epochs": (epochs, f"{steps:,} steps at most, for {num_texts:,} texts, {per_class} of a class"),
        "warmup_steps": (0.1, "the learning rate rises over a tenth of the steps"),
    }
