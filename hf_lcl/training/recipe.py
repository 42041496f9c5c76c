"""Learning rate, batch size and epochs, chosen from the data and the encoder. All values stand here."""

import numpy as np


# Measured with an encoder of this width (all-MiniLM-L6-v2, examples/results/accuracy.md); wider ones need less.
MEASURED_HIDDEN_SIZE = 384
LEARNING_RATE, LEARNING_RATE_OF_MANY_CLASSES, MANY_CLASSES = 1e-4, 2e-4, 64
# Few texts are seen often: about so many steps, in at most so many epochs.
STEPS, MOST_EPOCHS = 480, 40
LEAST_EPOCHS, LEAST_EPOCHS_OF_SMALL_CLASSES, SMALL_CLASS_TEXTS = 3, 5, 200
BATCH_SIZE, SMALL_BATCH_SIZE, FEW_TEXTS, FEW_CLASSES = 32, 16, 1000, 10


def choose_recipe(num_texts: int, num_classes: int, hidden_size: int) -> dict[str, tuple[float, str]]:
    """
    What a training without any setting takes: fields of [`ContrastiveTrainingArguments`] to a value and its reason, by
    the number of texts and of classes, and the width of the encoder. The values are those of the study
    (`examples/results/accuracy.md`).

    Example:

    ```python
    >>> from hf_lcl.training.recipe import choose_recipe

    >>> choose_recipe(num_texts=770, num_classes=77, hidden_size=384)["num_train_epochs"]
    (20, '480 steps at most, for 770 texts, 10 of a class')
    ```
    """
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
