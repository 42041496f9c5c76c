"""Every setting of a training run: those of transformers, and those of the contrastive objective."""

from dataclasses import dataclass, field
from pathlib import Path

from transformers import TrainingArguments

from .losses.objective import OBJECTIVES


SAMPLERS = ("auto", "balanced", "random")


@dataclass
class ContrastiveTrainingArguments(TrainingArguments):
    r"""
    `TrainingArguments` (every field and default of it untouched) and the settings of the objective

        L = alpha * (L_e + L_w) + (1 - alpha) * L_contrastive

    Args:
        objective (`str`, *optional*, defaults to `"lcl"`): `"lcl"` (label-aware contrastive loss), `"scl"` (supervised
            contrastive loss: no `L_w`) or `"ce"` (cross-entropy alone: what `transformers.Trainer` does).
        alpha (`float`, *optional*, defaults to 0.5): share of cross-entropy, in [0, 1].
        temperature (`float`, *optional*, defaults to 0.3): of the contrastive loss; must be positive.
        normalize_embeddings (`bool`, *optional*, defaults to `True`): whether the contrastive loss compares
            L2-normalised embeddings (cosines) or plain dot products; the latter need a temperature of about 10.
        detach_weights (`bool`, *optional*, defaults to `False`): whether to keep the contrastive loss's gradient from
            the weighting network.
        class_weights (`"balanced"` or `list[float]`, *optional*): weight of each class in the cross-entropies, one
            number per class in the order of the ids; `"balanced"` is inverse to the class's share of the training set.
        sampler (`str`, *optional*, defaults to `"auto"`): `"balanced"` draws batches of several classes with several
            texts each, so that anchors have positives; `"random"` is transformers' own; `"auto"` is balanced for
            `"scl"` and `"lcl"`, and transformers' own for `"ce"`.
        samples_per_class (`int`, *optional*, defaults to 2): texts of one class in a balanced batch, at least 2.
        merge_adapter (`bool`, *optional*, defaults to `True`): with `peft_config`, whether what is saved and pushed is
            the standard classifier with the adapter merged into it, or the adapter and its classifier head alone.

    Raises:
        ValueError: if a value is not one of those above.

    Example:

    ```python
    >>> from hf_lcl import ContrastiveTrainingArguments

    >>> args = ContrastiveTrainingArguments("out", objective="lcl", alpha=0.5, temperature=0.3, learning_rate=2e-5)
    >>> args.objective, args.alpha, args.num_train_epochs
    ('lcl', 0.5, 3.0)
    ```

    Paper: [Not All Negatives are Equal](https://huggingface.co/papers/2109.05427).
    """

    objective: str = field(
        default="lcl",
        metadata={"help": "lcl (label-aware contrastive), scl (supervised contrastive) or ce (cross-entropy alone)."},
    )
    alpha: float = field(
        default=0.5, metadata={"help": "Share of cross-entropy in the loss, from 0 to 1; the rest is contrastive."}
    )
    temperature: float = field(
        default=0.3, metadata={"help": "Temperature of the contrastive loss: low values stress the closest texts."}
    )
    normalize_embeddings: bool = field(
        default=True, metadata={"help": "Compare cosines (default) instead of plain dot products of embeddings."}
    )
    detach_weights: bool = field(
        default=False, metadata={"help": "Keep the contrastive loss's gradient from the weighting network."}
    )
    class_weights: list[str] | None = field(
        default=None,
        metadata={"help": "'balanced', or one number per class in the order of the ids, for the cross-entropies."},
    )
    sampler: str = field(
        default="auto",
        metadata={"help": "balanced (several texts per class in each batch), random, or auto (balanced unless ce)."},
    )
    samples_per_class: int = field(default=2, metadata={"help": "Texts of one class in a balanced batch, at least 2."})
    merge_adapter: bool = field(
        default=True,
        metadata={"help": "With peft_config: save the merged standard classifier instead of the adapter alone."},
    )

    def __post_init__(self):
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("sampler", self.sampler, SAMPLERS)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} must lie in [0, 1]: it is the share of cross-entropy in the loss.")
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature} must be positive; 0.05 to 0.5 is usual for cosines.")
        if self.samples_per_class < 2:
            raise ValueError(f"samples_per_class={self.samples_per_class} leaves anchors without positives: use >= 2.")
        if Path(self.output_dir or "").is_file():
            raise ValueError(f"output_dir={self.output_dir!r} is a file: name a folder.")
        self.class_weights = _parse_class_weights(self.class_weights)
        super().__post_init__()

    @property
    def is_contrastive(self) -> bool:
        """Whether the objective has a contrastive part."""
        return self.objective != "ce"


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a `ValueError` that lists the `choices` where `value` is none of them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: use one of {', '.join(map(repr, choices))}.")


def _parse_class_weights(value: str | list[str] | list[float] | None) -> str | list[float] | None:
    """`"balanced"`, a list of positive numbers, or `None`; the command line gives lists of strings."""
    if value is None or value in ("balanced", ["balanced"]):
        return None if value is None else "balanced"
    try:
        weights = [float(weight) for weight in value]
    except (TypeError, ValueError):
        weights = []
    if not weights or min(weights) <= 0:
        raise ValueError(f"class_weights={value!r} must be 'balanced' or one positive number per class.")
    return weights
