"""The Trainer with a contrastive objective: what differs from `transformers.Trainer`, and nothing else."""

import inspect
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, set_seed
from transformers.data.data_collator import DataCollator
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction, get_last_checkpoint
from transformers.utils import logging

from .data import ContrastiveDataCollator
from .data.labels import label_names
from .data.sampler_callbacks import ConfusableClassesCallback, SamplerEpochCallback
from .data.views import VIEW_PREFIX, Views, texts_alone
from .hub.publishing import PublishingTrainer
from .losses.meter import PartMeter
from .losses.objective import Objective, Part
from .model.modeling import LCLForSequenceClassification
from .model.outputs import LCLOutput
from .scaling import FreshQueue
from .training.batching import check_stream, draws_balanced_batches, order_stream, prepare_sampler
from .training.collapse import CollapseMonitor
from .training.preparing import (
    balanced_weights,
    checked_labels,
    log_priors,
    prepare_model,
    prepare_objective,
    warn_of_equal_views,
)
from .training.search import SearchingTrainer
from .training.start import FittingTrainer, Start, distills_mean, fits_head
from .training.step import ScalingTrainer
from .training_args import ContrastiveTrainingArguments


if TYPE_CHECKING:
    from peft import PeftConfig

logger = logging.get_logger(__name__)


class ContrastiveTrainer(FittingTrainer, ScalingTrainer, SearchingTrainer, PublishingTrainer):
    r"""
    `transformers.Trainer` that minimises the objective of [`ContrastiveTrainingArguments`] and writes a standard
    sequence classifier.

    Everything else (resume, early stopping, best model, accumulation, mixed precision, compilation, trackers) is the
    Trainer's own. Each log line also holds the parts of the loss (`loss_ce`, `loss_weighting`, `loss_contrastive`),
    the share of texts that have a positive (`valid_anchors`), the mean numbers `positives_per_anchor` and
    `candidates_per_anchor`, and the mean cosines `positive_similarity` and `negative_similarity`; evaluation holds
    them with its prefix. The contrastive parts depend on how evaluation batches happen to be composed: select models
    by accuracy, F1 or `loss_ce`.

    Args:
        model ([`LCLForSequenceClassification`], `PreTrainedModel` or `str`): the model, a plain sequence classifier,
            or the name of an encoder. The last two are wrapped, with a weighting head for `objective="lcl"`; a name
            takes its classes from the training set.
        args ([`ContrastiveTrainingArguments`]): all settings.
        train_dataset, eval_dataset: tokenised rows with `labels` (class ids). A stream is fine (`max_steps` says how
            long to train): a buffer balances its batches, see [`data.balance_stream`].
        processing_class (`PreTrainedTokenizerBase`, *optional*): the tokenizer; pads batches and is saved beside the
            model.
        peft_config (`PeftConfig`, *optional*): such as `peft.LoraConfig(r=8)`: trains an adapter, the classifier and
            the weighting network instead of all weights. What is saved is the merged classifier, or the adapter
            (`merge_adapter=False`).
        **others: as in `transformers.Trainer`.

    Raises:
        TypeError: for a model or arguments of the wrong class.
        ValueError: for data without token ids, labels that the model has no class for, a single class, several labels
            per row, or `objective="lcl"` with a model that has no weighting network.
        FloatingPointError: during training, when the loss is not finite.

    Example:

    ```python
    >>> from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments

    >>> trainer = ContrastiveTrainer(
    ...     model="google/electra-base-discriminator",
    ...     args=ContrastiveTrainingArguments("out", objective="lcl"),
    ...     train_dataset=train,
    ...     eval_dataset=validation,
    ...     processing_class=tokenizer,
    ... )
    >>> trainer.train()
    >>> trainer.save_model()  # AutoModelForSequenceClassification.from_pretrained("out") needs no hf_lcl
    ```
    """

    # The loss is the mean over a batch; the Trainer divides it by the number of accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: PreTrainedModel | str | None = None,
        args: ContrastiveTrainingArguments | None = None,
        data_collator: DataCollator | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        model_init: Callable[..., PreTrainedModel] | None = None,
        compute_loss_func: Callable | None = None,
        compute_metrics: Callable[[EvalPrediction], dict] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        peft_config: "PeftConfig | None" = None,
        **kwargs: Any,
    ):
        if args is None:
            args = ContrastiveTrainingArguments(output_dir="tmp_trainer")
        if not isinstance(args, ContrastiveTrainingArguments):
            raise TypeError(
                f"args is a {type(args).__name__}: use ContrastiveTrainingArguments, which has the same fields and "
                "the objective's."
            )
        if compute_loss_func is not None:
            raise ValueError("compute_loss_func would replace the objective: leave it out.")
        if peft_config is not None and (args.fsdp or args.deepspeed):
            raise ValueError("peft_config under FSDP or DeepSpeed is not supported yet: leave one of them out.")
        if isinstance(train_dataset, torch.utils.data.IterableDataset):
            check_stream(train_dataset, args)
        self._peft_config = peft_config
        self._train_labels = None if train_dataset is None else checked_labels(train_dataset)
        self._class_names = None if train_dataset is None else label_names(train_dataset)
        self._tokenizer = processing_class  # the Trainer keeps it only after model_init has run
        self._train_parts, self._eval_parts = PartMeter(), PartMeter()
        self._told_about_lone_anchors = False
        self._own_callbacks: list[TrainerCallback] = []
        if model is not None:
            model = prepare_model(model, args, self._train_labels, self._class_names, processing_class, peft_config)
            warn_of_equal_views(model, args)
        if data_collator is None and processing_class is not None:
            data_collator = ContrastiveDataCollator(processing_class)
        if args.is_contrastive and args.per_device_train_batch_size == 1:
            logger.warning_once(
                f"per_device_train_batch_size=1 leaves objective={args.objective!r} without positives: only "
                "cross-entropy is learned. Use a batch of 16 or more."
            )
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            model_init=model_init,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            **kwargs,
        )
        self.add_callback(SamplerEpochCallback())
        self._follow_arguments(self._unwrapped)

    def _follow_arguments(self, model: LCLForSequenceClassification) -> None:
        """Makes what the arguments decide and training keeps; each trial of a search has its own."""
        args = self.args
        self._views = Views(args.num_views, args.view, args.view_rate, self._tokenizer)
        self._prepare_scaling(model)
        self._monitor = CollapseMonitor() if args.is_contrastive else None
        self._confusable = ConfusableClassesCallback() if args.sampler == "confusable" else None
        for callback in self._own_callbacks:
            if callback in self.callback_handler.callbacks:  # the user may have taken it away
                self.remove_callback(callback)
        data = self.train_dataset
        self._start = Start(self, distills_mean(args, model, data), fits_head(args, model, data))
        queue = FreshQueue(self._pool.queue) if args.queue_size else None
        self._own_callbacks = [own for own in (self._start, queue, self._monitor, self._confusable) if own is not None]
        for callback in self._own_callbacks:
            self.add_callback(callback)

    def call_model_init(self, trial: Any = None) -> LCLForSequenceClassification:
        """As in `transformers.Trainer`; what `model_init` returns may be any of the models that `model` may be."""
        if trial is not None:
            # The Trainer takes over a trial's arguments when the model is there: too late for its weighting network.
            self._hp_search_setup(trial)
            set_seed(self.args.seed)
        model = super().call_model_init(trial)
        model = prepare_model(
            model, self.args, self._train_labels, self._class_names, self._tokenizer, self._peft_config
        )
        if trial is not None:
            self._follow_arguments(model)
            self._train_parts.reset()  # of a trial that was pruned
            set_seed(self.args.seed)  # training goes on as after a constructor that was given the model
        return model

    # Data

    def _set_signature_columns_if_needed(self) -> None:
        # The wrapper hands on whatever the architecture takes: its columns must not be dropped (token_type_ids, ...).
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            self._signature_columns += inspect.signature(self._unwrapped.native.forward).parameters
            if self.args.view == "column":
                self._signature_columns += [VIEW_PREFIX + name for name in self._signature_columns]

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler | None:
        # The public way to a batch structure that survives sharding over processes is an order of indices.
        if self._train_labels is None or not draws_balanced_batches(self.args, self._train_labels):
            return super()._get_train_sampler(train_dataset)
        return prepare_sampler(self.args, self._train_labels, self.train_dataset, self._train_batch_size)

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """As in `transformers.Trainer`; a stream, which no sampler can order, is ordered on its way."""
        if not isinstance(self.train_dataset, torch.utils.data.IterableDataset):
            return super().get_train_dataloader()
        batch_size = self._train_batch_size
        stream = order_stream(self.train_dataset, self.args, batch_size, self._unwrapped.config.num_labels)
        # Each process reads the stream and takes every so many batches of it. By default one process reads for all,
        # and cannot join batches of different lengths to hand them out.
        config = self.accelerator.dataloader_config
        dispatch, config.dispatch_batches = config.dispatch_batches, False
        dataloader = self._get_dataloader(stream, "Training", batch_size, is_training=True)
        config.dispatch_batches = dispatch
        return dataloader

    # Loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, LCLOutput]:
        """
        The objective on one batch. In evaluation the outputs are logits only.

        Raises:
            FloatingPointError: in training, when the loss is not finite: before the weights are touched.
        """
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        if model.training:
            outputs, loss, parts = self._training_loss(model, inputs, labels)
            self._train_parts.add(parts, scale=1 / self.current_gradient_accumulation_steps)
        else:
            outputs = model(**texts_alone(inputs))
            loss, parts = self._objective(training=False)(
                outputs.logits, outputs.embeddings, outputs.weighting_logits, labels
            )
            self._eval_parts.add(parts, gather_rows=self.accelerator.gather_for_metrics, rows=len(labels))
        return (loss, LCLOutput(loss=loss, logits=outputs.logits)) if return_outputs else loss

    def _training_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], labels: Tensor
    ) -> tuple[LCLOutput, Tensor, dict[str, Part]]:
        """The loss over views, mini-batches, processes and the queue."""
        inputs, labels = self._views(inputs, labels)
        outputs = self._run_batch(model, inputs)
        candidates = self._pool.candidates(outputs.embeddings, labels, step=self.state.global_step)
        try:
            loss, parts = self._objective(training=True)(
                outputs.logits,
                outputs.embeddings,
                outputs.weighting_logits,
                labels,
                candidates,
                views=self.args.num_views,
            )
        except ValueError as error:
            if outputs.embeddings.isfinite().all():
                raise
            self._stop(str(error))  # names the texts
        # The Trainer looks at the value of each loss anyway (`logging_nan_inf_filter`).
        if not torch.isfinite(loss):
            values = ", ".join(f"{name}={part.value.item():.4g}" for name, part in parts.items())
            self._stop(f"The loss is {loss.item()} ({values}).")
        self._tell_about_lone_anchors(parts, labels)
        if self._monitor is not None:
            self._monitor.observe(outputs.embeddings, outputs.logits, labels)
        if self._confusable is not None:
            self._confusable.observe(labels, outputs.logits)
        return outputs, loss, parts

    def _objective(self, training: bool) -> Objective:
        """The objective as the arguments say it now; a hyperparameter search changes them between runs."""
        adjustment = None
        if training and self.args.logit_adjustment_tau:
            adjustment = (self.args.logit_adjustment_tau * self._log_priors).tolist()
        return prepare_objective(self.args, self._unwrapped.config, self._class_weights, adjustment)

    @property
    def _class_weights(self) -> list[float] | None:
        return self._balanced_weights if self.args.class_weights == "balanced" else self.args.class_weights

    @cached_property
    def _balanced_weights(self) -> list[float]:
        return balanced_weights(self._train_labels, self._unwrapped.config.num_labels)

    @cached_property
    def _log_priors(self) -> np.ndarray:
        return log_priors(self._train_labels, self._unwrapped.config.num_labels)

    def _stop(self, problem: str) -> NoReturn:
        checkpoint = get_last_checkpoint(self.args.output_dir)
        kept = f"The last checkpoint is {checkpoint}." if checkpoint else "No checkpoint had been written yet."
        raise FloatingPointError(
            f"Stopped at step {self.state.global_step + 1}, before the weights were updated. {problem} {kept} Lower "
            "the learning rate, raise the temperature, or train without fp16."
        )

    def _tell_about_lone_anchors(self, parts: dict[str, Part], labels: Tensor) -> None:
        # Looked at until it was said once; an epoch's last texts may be too few to pair.
        if self._told_about_lone_anchors or len(labels) < self._train_batch_size or "valid_anchors" not in parts:
            return
        if parts["valid_anchors"].value > 0:
            return
        self._told_about_lone_anchors = True
        names = self._unwrapped.config.id2label
        counts = ", ".join(f"{names[label]}: {n}" for label, n in Counter(labels.tolist()).most_common(8))
        logger.warning(
            f"No text of the batch at step {self.state.global_step + 1} has another of its class ({counts}): it "
            "taught cross-entropy alone. Use sampler='balanced', a larger per_device_train_batch_size (with "
            "mini_batch_size where memory is short), or queue_size."
        )

    # Logging

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As in `transformers.Trainer`; lines with a training loss also get its parts."""
        if "loss" in logs:
            logs = logs | self._train_parts.averages(reduce=lambda totals: self.accelerator.reduce(totals, "sum"))
        super().log(logs, start_time)

    def evaluation_loop(
        self,
        dataloader: torch.utils.data.DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """As in `transformers.Trainer`; the metrics also hold the parts of the loss."""
        self._eval_parts.reset()
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        output.metrics.update(
            {f"{metric_key_prefix}_{name}": value for name, value in self._eval_parts.averages().items()}
        )
        return output
