"""Wraps the user's model, and checks model, tokenizer, training set and objective against one another."""

from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from transformers.utils import logging

from ..losses import Objective
from ..model.adapters import check_no_adapter
from ..model.classes import are_placeholders, class_names
from ..model.configuration import SEVERAL, LCLConfig
from ..model.loading import check_tokenizer
from ..model.modeling import LCLForSequenceClassification
from ..training_args import ContrastiveTrainingArguments
from .batching import check_stream
from .splits import TrainingSet, check_fit
from .start import distills_mean


if TYPE_CHECKING:
    from peft import PeftConfig

logger = logging.get_logger(__name__)


def check_arguments(
    args: Any, peft_config: "PeftConfig | None" = None, compute_loss_func: Any = None, **others: Any
) -> None:
    """
    Checks arguments of a trainer that cannot be combined.

    Raises:
        TypeError: if `args` are no [`ContrastiveTrainingArguments`].
        ValueError: for a loss function, mini-batches that are larger than the batch or with `DataParallel`, or an
            adapter in a sharded model.
    """
    if not isinstance(args, ContrastiveTrainingArguments):
        raise TypeError(f"args is a {type(args).__name__}: use ContrastiveTrainingArguments, with the same fields.")
    args.check()  # they may have changed since they were made
    if compute_loss_func is not None:
        raise ValueError("compute_loss_func would replace the objective: leave it out.")
    mini, batch = args.mini_batch_size, args.per_device_train_batch_size
    if mini is not None and mini > batch:
        raise ValueError(f"mini_batch_size={mini} must be at most per_device_train_batch_size={batch}.")
    if mini is not None and args.n_gpu > 1:
        raise ValueError("mini_batch_size needs a process for each GPU: start the program with torchrun.")
    if peft_config is not None and (args.fsdp or args.deepspeed):
        raise ValueError("peft_config under FSDP or DeepSpeed is not supported yet: leave one of them out.")


def prepare_model(
    model: PreTrainedModel | str | PathLike,
    args: ContrastiveTrainingArguments,
    data: TrainingSet,
    tokenizer: PreTrainedTokenizerBase | None,
    peft_config: "PeftConfig | None" = None,
) -> LCLForSequenceClassification:
    """
    The model that a trainer trains, from a wrapper, a plain classifier, or the name of an encoder. A tokenizer without
    a padding token gets one.

    Raises:
        TypeError: for a model that is not a sequence classifier, or a `peft_config` that is not a `PeftConfig`.
        ValueError: if model, objective, labels and tokenizer do not fit together.
    """
    wrapped = _wrap(model, args, data)
    align_model(wrapped, args, data)
    _warn_of_equal_views(wrapped, args)
    if tokenizer is not None:
        _fit_tokenizer(wrapped, tokenizer)
    if peft_config is not None:
        set_seed(args.seed)  # as for a new head
        wrapped.attach_adapter(peft_config)
    distills_mean(args, wrapped, data.dataset)  # raises if the model does not support it
    return wrapped


def _wrap(
    model: PreTrainedModel | str | PathLike, args: ContrastiveTrainingArguments, data: TrainingSet
) -> LCLForSequenceClassification:
    weighting = "head" if args.objective == "lcl" else "none"
    if isinstance(model, LCLForSequenceClassification):
        for part in (model, model.native) if model.adapted_classifier is None else ():
            check_no_adapter(part)  # one may have been attached after wrapping
        return model
    if not isinstance(model, str | PathLike):
        return LCLForSequenceClassification.from_native(model, weighting=weighting)
    classes: dict[str, Any]
    if data.names is not None:
        classes = {"id2label": dict(enumerate(data.names))}
    elif data.labels is not None:
        classes = {"num_labels": len(data.class_names)}
    else:
        raise ValueError(
            f"model={str(model)!r} takes its classes from the training set, but train_dataset is missing or a stream "
            f"without names: write model=LCLForSequenceClassification.from_encoder({str(model)!r}, num_labels=...)."
        )
    set_seed(args.seed)  # the new head must not depend on what ran before
    return LCLForSequenceClassification.from_encoder(model, weighting=weighting, **classes)


def align_model(model: LCLForSequenceClassification, args: ContrastiveTrainingArguments, data: TrainingSet) -> None:
    """
    Gives a model the class names and the `problem_type` of its training set; raises a `ValueError` if model, objective
    and training set do not fit together.
    """
    check_stream(data.dataset, args)
    config, known = model.config, class_names(model.config)
    if args.objective == "lcl" and config.weighting == "none":
        raise ValueError(
            'objective="lcl" needs a weighting network, but the model has weighting="none": use '
            'LCLForSequenceClassification.from_encoder(..., weighting="head"), or objective="scl".'
        )
    if config.problem_type == "regression":
        raise ValueError("The model's problem_type is 'regression': a classifier is needed.")
    if data.has_several_labels:
        config.problem_type = config.text_config.problem_type = SEVERAL
    check_fit(data.labels, config, "train_dataset")
    if args.stop_when_learned and (config.has_several_labels or config.weighting == "classifier"):
        raise ValueError(
            "stop_when_learned=True asks when one label per text is learned, by the classifier and by a weighting "
            f"network of its own; the model has problem_type={config.problem_type!r}, "
            f"weighting={config.weighting!r}: leave it out."
        )
    if isinstance(args.class_weights, list) and len(args.class_weights) != len(known):
        order = ", ".join(known[:4]) + ", ..." * (len(known) > 4)
        raise ValueError(
            f"class_weights has {len(args.class_weights)} numbers for {len(known)} classes: give one for each, in the "
            f"order {order}."
        )
    if data.labels is None or data.names is None:
        return
    if len(data.names) != len(known):
        raise ValueError(f"train_dataset names {len(data.names)} classes, but the model has num_labels={len(known)}.")
    if set(known) & set(data.names) or are_placeholders(known):
        model.set_class_names(data.names)  # in the order of the data
    else:
        logger.warning_once(
            f"The model's classes have other names than those of train_dataset: {known[0]!r} is trained on the texts "
            f"of {data.names[0]!r}, {known[1]!r} on those of {data.names[1]!r}, and so on; the model's names are kept."
        )


def _warn_of_equal_views(model: LCLForSequenceClassification, args: ContrastiveTrainingArguments) -> None:
    """Warns if a model without dropout would give equal views."""
    config = model.config.text_config
    rates = [rate for name, rate in config.to_dict().items() if "drop" in name and isinstance(rate, float)]
    if args.num_views > 1 and args.view == "dropout" and not any(rate > 0 for rate in rates):
        logger.warning_once(
            f"The configuration of {config.model_type} names no dropout, so that the views of view='dropout' are "
            "equal: use view='column' with a second view of your own (tokenize_texts(..., view_column='paraphrase')), "
            "or num_views=1."
        )


def _fit_tokenizer(model: LCLForSequenceClassification, tokenizer: PreTrainedTokenizerBase) -> None:
    """Sets one padding token for both; raises a `ValueError` if padding is on the side that the classifier reads."""
    check_tokenizer(model.config, tokenizer)
    config = model.config.text_config.get_text_config()
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError("The tokenizer has neither a padding nor an end token: set tokenizer.pad_token = '...'.")
        tokenizer.pad_token = tokenizer.eos_token
        logger.warning_once(f"The tokenizer has no padding token: its end token {tokenizer.eos_token!r} stands in.")
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = tokenizer.pad_token_id
    side = tokenizer.padding_side
    if model.config.pooling == "cls":
        side = "right"
    elif config.model_type == "xlnet":
        side = "left"  # its classifier reads the last position, even if that is padding
    if tokenizer.padding_side != side:
        raise ValueError(
            f"The tokenizer pads on the {tokenizer.padding_side}, where the classifier of {config.model_type} reads: "
            f"write tokenizer.padding_side = {side!r}."
        )
    if model.config.pooling == "mean":
        model.set_special_tokens(tokenizer)


def warn_of_untrained(model: LCLForSequenceClassification, optimizer: torch.optim.Optimizer) -> None:
    """Warns of parameters that the user's optimizer leaves out, such as a weighting network that was added later."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    names = [name for name, weight in model.named_parameters() if weight.requires_grad and id(weight) not in held]
    if names:
        logger.warning(
            f"The optimizer leaves out {len(names)} parameters of the model, which training will not change: "
            f"{', '.join(names[:6])}{', ...' if len(names) > 6 else ''}. Wrap the classifier first, model = "
            "LCLForSequenceClassification.from_native(classifier), and build the optimizer from model.parameters(); "
            "or freeze them with requires_grad_(False)."
        )


def prepare_objective(args: ContrastiveTrainingArguments, config: LCLConfig, data: TrainingSet) -> Objective:
    """The objective that a trainer minimises, for the classes of `data`."""
    weights = data.class_weights(args, len(class_names(config)))
    return Objective(
        name=args.objective,
        alpha=args.alpha,
        temperature=args.temperature,
        normalize=args.normalize_embeddings,
        detach_weights=args.detach_weights,
        weighting_is_trained=config.weighting != "classifier",
        class_weights=None if weights is None else torch.tensor(weights).to(args.device, non_blocking=True),
        label_smoothing=args.label_smoothing_factor,
    )
