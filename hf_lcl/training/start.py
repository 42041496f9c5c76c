"""What is done once to a fresh model: the mean goes into its first token, and a new classifier is fitted."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState
from transformers.utils import logging

from ..data.lengths import token_counts
from ..model.loading import StartingPoint
from ..model.modeling import LCLForSequenceClassification
from ..model.pooling import default_pooling
from ..training_args import ContrastiveTrainingArguments


logger = logging.get_logger(__name__)

# What a logistic regression can learn about the classes, it learns from so many texts.
MOST_TEXTS = 20_000


class Start(TrainerCallback):
    """
    Runs [`start.distill_mean`] and [`start.fit_head`] before the first step of a model that was never trained.

    What was done is kept in the model's configuration (`LCLConfig.start`), and so in checkpoints: neither a second
    training nor another trainer does it again. A run that is taken up again goes on without it.

    Args:
        distill_mean (`Callable[[], None]`): teaches the first token.
        fit_head (`Callable[[], None]`): fits the classifier.
    """

    def __init__(self, distill_mean: Callable[[], None], fit_head: Callable[[], None]):
        self._distill_mean, self._fit_head = distill_mean, fit_head

    def on_train_begin(  # type: ignore[override]
        self,
        args: ContrastiveTrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: LCLForSequenceClassification,
        train_dataloader: DataLoader,
        **kwargs: Any,
    ) -> None:
        """Distils and fits."""
        if args.fsdp or args.deepspeed:
            return
        if state.global_step == 0:
            if distills_mean(args, model, train_dataloader.dataset):
                self._do("distill_mean", self._distill_mean, args.distill_mean, model)
            if fits_head(args, model, train_dataloader.dataset):
                self._do("head_start", self._fit_head, args.head_start, model)
        model.starting_point = StartingPoint()  # from here on its weights are trained ones

    @staticmethod
    def _do(
        name: str, run: Callable[[], None], is_asked_for: bool | None, model: LCLForSequenceClassification
    ) -> None:
        try:
            run()
        except ValueError as error:  # a classifier without a linear end, such as EuroBERT's
            if is_asked_for:
                raise
            logger.warning(f"{name} is left out. {error}")
        else:
            model.config.start = [*(model.config.start or ()), name]


def distills_mean(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """
    Whether a run begins with [`start.distill_mean`].

    Raises:
        ValueError: where it is asked for, and the classifier does not read the first token or the encoder is frozen.
    """
    if args.distill_mean is False or _is_done("distill_mean", model):
        return False
    encoder = model.native.base_model
    reads_first_token, learns = default_pooling(model.native) == "cls", _is_trained(encoder)
    if not args.distill_mean:
        is_fresh = model.starting_point.pools_mean
        return is_fresh and reads_first_token and learns and _starts_by_default(args, dataset)
    if not reads_first_token:
        raise ValueError(
            "distill_mean=True teaches the first token, which the classifier of "
            f"{model.config.text_config.model_type} does not read: leave it out."
        )
    if not learns:
        raise ValueError("distill_mean=True teaches the encoder, which is frozen (requires_grad=False): leave it out.")
    return True


def fits_head(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """Whether the classifier is fitted before the first step."""
    if args.head_start is not None:
        return args.head_start and not _is_done("head_start", model)
    return model.starting_point.has_new_head and _starts_by_default(args, dataset)


def _is_done(name: str, model: LCLForSequenceClassification) -> bool:
    return name in (model.config.start or ())


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _starts_by_default(args: ContrastiveTrainingArguments, dataset: Any) -> bool:
    # Plain cross-entropy is transformers' own training, step for step.
    is_plain = not args.is_contrastive or args.alpha == 1
    return not (is_plain or args.fsdp or args.deepspeed or isinstance(dataset, IterableDataset))


def texts_to_fit(
    dataset: Any, id2label: dict[int, str], tokenizer: PreTrainedTokenizerBase | None, seed: int = 0
) -> Dataset:
    """
    What a classifier is fitted to: the training set, or a part of a large one that is drawn at random; by length, so
    that there is little padding; and the names of the classes.

    Args:
        dataset: the training set, tokenised.
        id2label (`dict[int, str]`): names of the classes.
        tokenizer (`PreTrainedTokenizerBase`, *optional*): the model's; without it names are no texts.
        seed (`int`, *optional*, defaults to 0): of the draw.
    """
    rows = np.random.default_rng(seed).permutation(len(dataset))[:MOST_TEXTS]
    by_length = rows[np.argsort(token_counts(dataset)[rows], kind="stable")]
    texts = Subset(dataset, by_length.tolist())
    names = [] if tokenizer is None else names_as_texts(id2label, tokenizer)
    return ConcatDataset([texts, names]) if names else texts


def names_as_texts(id2label: dict[int, str], tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    """
    The names of classes as tokenised texts with `labels`: of a class with five texts, a sixth.

    Args:
        id2label (`dict[int, str]`): the names. Those that say nothing (`"LABEL_3"`, `"3"`) are left out.
        tokenizer (`PreTrainedTokenizerBase`): the model's.

    Example:

    ```python
    >>> from hf_lcl.training.start import names_as_texts

    >>> [tokenizer.decode(row["input_ids"]) for row in names_as_texts({0: "card_arrival", 1: "LABEL_1"}, tokenizer)]
    ['[CLS] card arrival [SEP]']
    ```
    """
    spoken = {label: name.replace("_", " ") for label, name in id2label.items() if name != f"LABEL_{label}"}
    tokenizer = deepcopy(tokenizer)  # a call changes what is saved
    return [{**tokenizer(name), "labels": label} for label, name in spoken.items() if any(map(str.isalpha, name))]
