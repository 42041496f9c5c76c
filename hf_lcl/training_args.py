"""Every setting of a training run: those of transformers, and those of the contrastive objective."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments

from .data.views import VIEWS
from .losses.checks import check_temperature
from .losses.objective import OBJECTIVES
from .support.fields import option
from .support.removed import refuse_removed


if TYPE_CHECKING:
    ClassWeights = str | list[float] | None
else:
    ClassWeights = list[str] | None  # what the command line reads

SAMPLERS = ("auto", "balanced", "random")
LOSSES = ("loss", "loss_ce", "loss_weighting", "loss_contrastive")  # what an evaluation measures of the objective


@dataclass
class ContrastiveTrainingArguments(TrainingArguments):
    r"""
    `TrainingArguments`, with all fields and defaults unchanged, and the settings of the objective

        L = alpha * (L_e + L_w) + (1 - alpha) * L_contrastive

    Args:
        > The loss

        objective (`str`, *optional*, defaults to `"lcl"`): `"lcl"` (label-aware contrastive loss), `"scl"` (supervised
            contrastive loss: no `L_w`) or `"ce"` (cross-entropy alone: what `transformers.Trainer` does).
        alpha (`float`, *optional*, defaults to 0.5): share of cross-entropy, in [0, 1].
        temperature (`float`, *optional*, defaults to 0.3): of the contrastive loss; must be positive.
        normalize_embeddings (`bool`, *optional*, defaults to `True`): whether the contrastive loss compares
            L2-normalised embeddings (cosines) or plain dot products; the latter need a temperature of about 10.
        detach_weights (`bool`, *optional*, defaults to `False`): whether to stop the gradient of the contrastive loss
            at the weighting network.
        class_weights (`"balanced"` or `list[float]`, *optional*): weight of each class in the cross-entropies, one
            number per class in the order of the ids; `"balanced"` is inverse to the class's share of the training set.
            With several labels per text, the weight of the texts with a label (`pos_weight`); `"balanced"` is the
            ratio of texts without the label to texts with it.

        > The start and the end

        distill_mean (`bool`, *optional*): whether the embedding of the first token is trained to match the mean of all
            tokens, before the first step and without labels. By default for an encoder that sentence-transformers
            trained with mean pooling; not for `"ce"` or `alpha=1`. See [`start.distill_mean`].
        head_start (`bool`, *optional*): whether the classifier is fitted to the frozen encoder before the first step,
            by logistic regression. By default where [`~LCLForSequenceClassification.from_encoder`] made a new
            classifier; not for `"ce"` or `alpha=1`. See [`start.fit_head`].
        stop_when_learned (`bool`, *optional*): whether training ends once its texts are learned, at the latest after
            `num_train_epochs`, with the running mean of the weights and a last layer averaged with a refitted one.
            Only for `"lcl"`; by default if the classifier was fitted before the first step, but not with several
            labels, an adapter or `load_best_model_at_end`. See [`training.learned.StopWhenLearned`].
        head_refit (`bool`, *optional*, defaults to `False`): whether the classifier is fitted in the same way after
            the last step. Earlier evaluations and checkpoints are without it.
        names_as_texts (`bool`, *optional*, defaults to `True`): whether the names of the classes are further texts,
            where a classifier is fitted before the first step: of this fit and, with a contrastive objective and if
            names [`training.names.say_more`] than its texts, of every batch, whose texts are compared with them. See
            [`losses.objective.cross_entropy_of_names`].

        > The batches

        num_views (`int`, *optional*, defaults to 1): number of views of each text in a training batch. With 2, each
            text has its second view as a positive, at twice the time and memory of a step.
        view (`str`, *optional*, defaults to `"dropout"`): what the further views are: the same text under other
            dropout (`"dropout"`), or what `tokenize_texts` wrote from a column or by a function (`"column"`).
        sampler (`str`, *optional*, defaults to `"auto"`): `"balanced"` draws batches of several classes with several
            texts each, so that anchors have positives; `"random"` is the sampler of transformers, which
            `train_sampling_strategy` sets; `"auto"` is balanced except for `"ce"`. See [`LabelBalancedSampler`].
        samples_per_class (`int`, *optional*, defaults to 2): texts of one class in a balanced batch, at least 2.
        group_lengths (`bool`, *optional*, defaults to `True`): whether texts of similar length share a balanced batch,
            to reduce padding.

        > Memory, processes, adapters

        mini_batch_size (`int`, *optional*): computes a batch in mini-batches of this many texts (gradient caching):
            the loss and gradients of the whole batch in the memory of a mini-batch, for one more forward pass.
        gather_across_devices (`bool`, *optional*, defaults to `True`): with several processes, whether the anchors of
            each are compared with the texts of all, as if one process held the whole batch.
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

    _argument_group_name = "the training: the fields of transformers.TrainingArguments, and those of the objective"
    if TYPE_CHECKING:  # transformers declares `str | None`, and fills in a default
        output_dir: str = ""

    objective: str = option("lcl", "lcl (label-aware contrastive), scl (supervised contrastive), ce (cross-entropy).")
    alpha: float = option(0.5, "Share of cross-entropy in the loss, from 0 to 1; the rest is contrastive.")
    temperature: float = option(0.3, "Temperature of the contrastive loss: low values stress the closest texts.")
    normalize_embeddings: bool = option(True, "Compare cosines (default) instead of plain dot products of embeddings.")
    detach_weights: bool = option(False, "Stop the gradient of the contrastive loss at the weighting network.")
    class_weights: ClassWeights = option(
        None, "'balanced', or one number per class in the order of the ids, for the cross-entropies."
    )
    distill_mean: bool | None = option(None, "Train the first token to match the mean (default: where it helps).")
    head_start: bool | None = option(None, "Fit a new classifier before training (default: unless ce).")
    stop_when_learned: bool | None = option(None, "Stop once the texts are learned (default: after a head_start).")
    head_refit: bool = option(False, "Fit the classifier once more when training has ended.")
    names_as_texts: bool = option(True, "With a new classifier, the names of the classes are further texts.")
    num_views: int = option(1, "Views of each text in a training batch; 2 makes them pairs.")
    view: str = option("dropout", "Further views: dropout (the same text again), or column (one of your own).")
    sampler: str = option("auto", "balanced (several texts per class in a batch), random, auto (balanced unless ce).")
    samples_per_class: int = option(2, "Texts of one class in a balanced batch, at least 2.")
    group_lengths: bool = option(True, "Batch texts of similar length together, to reduce padding.")
    mini_batch_size: int | None = option(None, "Compute a batch in mini-batches of this size, which saves memory.")
    gather_across_devices: bool = option(True, "Compare the texts of all processes with one another.")
    merge_adapter: bool = option(True, "With peft_config: save the merged standard classifier, not the adapter alone.")

    def __new__(cls, *args: Any, **kwargs: Any) -> "ContrastiveTrainingArguments":
        refuse_removed(kwargs)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        is_set = self.greater_is_better is not None
        super().__post_init__()
        if not is_set and is_loss(self.metric_for_best_model or ""):
            self.greater_is_better = False  # transformers takes only names that end in "loss" for losses
        self.check()

    def check(self) -> None:
        """Raises a `ValueError` for values that are out of range; `train` checks again, since they may change."""
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("sampler", self.sampler, SAMPLERS)
        check_choice("view", self.view, VIEWS)
        check_temperature(self.temperature)
        self.class_weights = _parse_class_weights(self.class_weights)
        mini, views = self.mini_batch_size, f"num_views={self.num_views}"
        for name in ("num_views", "samples_per_class", "mini_batch_size", "gradient_accumulation_steps"):
            if not isinstance(getattr(self, name), Integral | None):
                raise ValueError(f"{name}={getattr(self, name)!r} must be a whole number.")
        if self.gradient_accumulation_steps < 1:
            raise ValueError(f"gradient_accumulation_steps={self.gradient_accumulation_steps} must be at least 1.")
        if self.label_names not in (None, ["labels"]):
            raise ValueError(
                f"label_names={self.label_names} would hide the labels: leave it out, and name their column with "
                "label_column (on the command line --label_column_name)."
            )
        if self.torch_compile_backend not in (None, "inductor"):
            backends = tuple(torch.compiler.list_backends(exclude_tags=None))
            check_choice("torch_compile_backend", self.torch_compile_backend, backends)
        if int(os.environ.get("WORLD_SIZE", 1)) > self.world_size:
            raise ValueError(
                f"There are {os.environ['WORLD_SIZE']} processes, but no device for each, so that all of them would "
                "train alone: set use_cpu=True."
            )
        if Path(self.output_dir).is_file():
            raise ValueError(f"output_dir={self.output_dir!r} is a file: name a folder.")
        if not (isinstance(self.alpha, Real) and 0 <= self.alpha <= 1):
            raise ValueError(
                f"alpha={self.alpha!r} must be a number in [0, 1]: it is the share of cross-entropy in the loss."
            )
        if self.samples_per_class < 2:
            raise ValueError(f"samples_per_class={self.samples_per_class} leaves anchors without positives: use >= 2.")
        if mini is not None and mini < 1:
            raise ValueError(f"mini_batch_size={mini} must be at least 1.")
        if self.num_views < 1:
            raise ValueError(f"{views} must be at least 1: use 2 for pairs.")
        if self.view == "column" and self.num_views != 2:
            raise ValueError(f"view='column' is one second view, not {views}: set num_views=2.")
        if self.num_views > 1 and not self.is_contrastive:
            raise ValueError(f"{views} is of no use to objective='ce', which counts each text once: leave it out.")
        if mini is not None and self.deepspeed:
            raise ValueError("mini_batch_size does not work with DeepSpeed, which owns the backward pass: use DDP.")
        if self.stop_when_learned and self.objective != "lcl":
            raise ValueError(
                "stop_when_learned=True needs the loss of the weighting network, which "
                f"objective={self.objective!r} does not have: leave it out."
            )
        if self.stop_when_learned and self.load_best_model_at_end:
            raise ValueError(
                "stop_when_learned=True ends with the mean of the weights, load_best_model_at_end=True with a "
                "checkpoint: leave one of them out."
            )
        for name in ("distill_mean", "head_start", "stop_when_learned", "head_refit"):
            if getattr(self, name) and (self.fsdp or self.deepspeed):
                raise ValueError(f"{name}=True does not work with FSDP or DeepSpeed, which shard the model: use DDP.")

    @property
    def is_contrastive(self) -> bool:
        """Whether the objective has a contrastive part."""
        return self.objective != "ce"


def is_loss(metric: str) -> bool:
    """Whether less of a metric of an evaluation, such as `"eval_loss_ce"`, is better."""
    return metric.endswith(LOSSES)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a `ValueError` that lists the `choices` where `value` is none of them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: use one of {', '.join(map(repr, choices))}.")


def _parse_class_weights(value: ClassWeights) -> ClassWeights:
    """`"balanced"`, a list of positive numbers, or `None`; the command line gives lists of strings."""
    if value is None:
        return None
    if isinstance(value, str | list) and value in ("balanced", ["balanced"]):
        return "balanced"
    try:
        weights = [] if isinstance(value, Mapping) else [float(weight) for weight in value]
    except (TypeError, ValueError):
        weights = []
    if not weights or min(weights) <= 0:
        raise ValueError(f"class_weights={value!r} must be 'balanced' or one positive number per class.")
    return weights
