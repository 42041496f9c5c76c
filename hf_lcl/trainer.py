"""The Trainer with a contrastive objective: what differs from `transformers.Trainer`, and nothing else."""

import inspect
from collections.abc import Callable
from functools import cached_property, partial
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, set_seed
from transformers.data.data_collator import DataCollator
from transformers.trainer_utils import BestRun, EvalLoopOutput, EvalPrediction, HPSearchBackend, TrainOutput
from transformers.utils import logging

from .data import ContrastiveDataCollator
from .data.labels import label_names
from .data.sampler_callbacks import SamplerEpochCallback
from .data.views import VIEW_PREFIX, texts_alone
from .extras import load_extra
from .hub.publishing import PublishingTrainer
from .losses.meter import PartMeter
from .losses.objective import Objective
from .model.configuration import LCLConfig
from .model.modeling import LCLForSequenceClassification
from .model.outputs import LCLOutput
from .start import distill_mean, fit_head
from .start.mean_distillation import num_distillation_batches
from .training.batching import check_stream, draws_balanced_batches, order_stream, passes, prepare_sampler
from .training.checkpoints import RunMark, check_checkpoint, resume_point
from .training.collapse import CollapseMonitor
from .training.preparing import (
    balanced_weights,
    checked_labels,
    log_priors,
    prepare_model,
    prepare_objective,
    warn_of_equal_views,
)
from .training.search import prepare_search, validation_metric
from .training.search_spaces import wide_space
from .training.start import Start, distills_mean, texts_to_fit
from .training.step import Step
from .training_args import ContrastiveTrainingArguments


if TYPE_CHECKING:
    import optuna
    from peft import PeftConfig

logger = logging.get_logger(__name__)


class ContrastiveTrainer(PublishingTrainer):
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
        self._eval_parts = PartMeter()
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
        self.add_callback(RunMark())
        self.add_callback(SamplerEpochCallback())
        self.add_callback(Start(self.distill_mean, self.fit_classifier))
        self._follow_arguments(self._unwrapped)

    def _follow_arguments(self, model: LCLForSequenceClassification) -> None:
        """Makes what the arguments decide and training keeps; each trial of a search has its own."""
        args = self.args
        self._step = Step(args, self._tokenizer)
        self._monitor = CollapseMonitor() if args.is_contrastive else None
        for callback in self._own_callbacks:
            if callback in self.callback_handler.callbacks:  # the user may have taken it away
                self.remove_callback(callback)
        distills_mean(args, model, self.train_dataset)  # refuses what cannot be done
        self._own_callbacks = [] if self._monitor is None else [self._monitor]
        for callback in self._own_callbacks:
            self.add_callback(callback)

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

    # The run

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """
        As in `transformers.Trainer`; `True` or `"last"` goes on from the newest whole checkpoint, where there is one.
        With `head_refit` the classifier is fitted at the end.

        Raises:
            ValueError: for a folder that is no whole checkpoint of such a run.
        """
        resume_from_checkpoint = resume_point(resume_from_checkpoint, self.args.output_dir)
        if resume_from_checkpoint is not None:
            config = self._unwrapped.config
            check_checkpoint(resume_from_checkpoint, config, self.args.objective)
            # The Trainer takes up weights alone; what was done before the first step stands in the configuration.
            config.start = LCLConfig.from_pretrained(resume_from_checkpoint).start
        try:
            output = super().train(resume_from_checkpoint, *args, **kwargs)
        except FloatingPointError as error:
            if self.hp_search_backend != HPSearchBackend.OPTUNA:
                raise
            # A trial that diverges is an answer, and ends no search.
            raise load_extra("optuna", extra="search").TrialPruned(str(error)) from error
        if self.args.head_refit:
            self.fit_classifier()
        return output

    def distill_mean(self) -> None:
        """Teaches the encoder's first token, without labels, what the mean says; see [`start.distill_mean`]."""
        batch_size = self._train_batch_size * self.accelerator.num_processes
        num_batches = num_distillation_batches(len(self.train_dataset), batch_size)
        distill_mean(
            self._unwrapped,
            map(texts_alone, islice(passes(self.get_train_dataloader()), num_batches)),
            num_batches,
            context=self.compute_loss_context_manager,
            average=partial(self.accelerator.reduce, reduction="mean"),
        )

    def fit_classifier(self) -> None:
        """
        Fits the classifier to the training set by logistic regression on the embeddings; the encoder stays as it is.
        With `names_as_texts`, the name of a class is a text of it. See [`start.fit_head`].
        """
        tokenizer = self._tokenizer if self.args.names_as_texts else None
        texts = texts_to_fit(self.train_dataset, self._unwrapped.config.id2label, tokenizer, self.args.seed)
        fit_head(
            self._unwrapped,
            # Not that of an evaluation, which would be kept for the next one where workers are persistent.
            map(texts_alone, self.get_test_dataloader(texts)),
            class_weights=self._class_weights,
            gather=self.accelerator.gather_for_metrics,
        )

    # Steps

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """
        As in `transformers.Trainer`; with `mini_batch_size` in two rounds, see [`scaling.GradientCache`].

        Raises:
            FloatingPointError: when the loss is not finite: before the weights are touched.
        """
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._step.finish(
            model,
            id2label=self._unwrapped.config.id2label,
            step=self.state.global_step,
            batch_size=self._train_batch_size,
            no_sync=partial(self.accelerator.no_sync, model),
            context=self.compute_loss_context_manager,
        )
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, LCLOutput]:
        """The objective on one batch. In evaluation the outputs are logits only."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        objective = self._objective(training=model.training)
        if model.training:
            outputs, loss, labels = self._step.loss(
                model,
                inputs,
                labels,
                config=self._unwrapped.config,
                objective=objective,
                step=self.state.global_step,
                scale=1 / self.current_gradient_accumulation_steps,
                average=partial(self.accelerator.reduce, reduction="mean"),
            )
            if self._monitor is not None:
                self._monitor.observe(outputs.embeddings, outputs.logits, labels)
        else:
            outputs = model(**texts_alone(inputs))
            loss, parts = objective(outputs.logits, outputs.embeddings, outputs.weighting_logits, labels)
            self._eval_parts.add(parts, gather_rows=self.accelerator.gather_for_metrics, rows=len(labels))
        return (loss, LCLOutput(loss=loss, logits=outputs.logits)) if return_outputs else loss

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

    # Logging

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As in `transformers.Trainer`; lines with a training loss also get its parts."""
        if "loss" in logs:
            logs = logs | self._step.parts.averages(reduce=lambda totals: self.accelerator.reduce(totals, "sum"))
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

    # Searching

    def hyperparameter_search(
        self,
        hp_space: "Callable[[optuna.Trial], dict[str, Any]] | None" = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] | None = None,
        backend: str | HPSearchBackend = "optuna",
        hp_name: "Callable[[optuna.Trial], str] | None" = None,
        **kwargs: Any,
    ) -> BestRun | list[BestRun]:
        """
        As in `transformers.Trainer`, with defaults that suit a loss whose size depends on what is searched: the space
        is [`training.search_spaces.wide_space`], and trials are compared by [`training.search.validation_metric`]. A
        trial whose loss is not finite is pruned. What a trial reports counts by hundredths of an epoch, so that
        pruning compares trials of different batch sizes after equally many texts.

        Raises:
            ImportError: if optuna is not installed.
            RuntimeError: for a trainer without `model_init`.
            ValueError: for a `direction` that the default metric does not have; see also
                [`training.search.prepare_search`].

        Example:

        ```python
        >>> trainer = ContrastiveTrainer(
        ...     model_init=lambda: "google/electra-base-discriminator",
        ...     args=ContrastiveTrainingArguments("out", eval_strategy="epoch", save_strategy="no"),
        ...     train_dataset=train,
        ...     eval_dataset=validation,
        ...     processing_class=tokenizer,
        ...     compute_metrics=classification_metrics,
        ... )
        >>> best = trainer.hyperparameter_search(n_trials=10)
        >>> best.hyperparameters  # {"learning_rate": ..., "temperature": ..., ...}
        ```
        """
        if backend == HPSearchBackend.OPTUNA:
            load_extra("optuna", extra="search")
        prepare_search(self.args, self.eval_dataset)
        if compute_objective is None:
            metric, natural = self._search_metric
            if direction not in (None, natural):
                raise ValueError(f"direction={direction!r} is wrong for {metric}, of which the best is {natural}d.")
            compute_objective, direction = itemgetter(metric), natural
        hp_space = hp_space or partial(wide_space, args=self.args)
        return super().hyperparameter_search(
            hp_space, compute_objective, n_trials, direction or "minimize", backend, hp_name, **kwargs
        )

    @cached_property
    def _search_metric(self) -> tuple[str, str]:
        # Kept: the Trainer drops the model after each trial.
        sets = list(self.eval_dataset) if isinstance(self.eval_dataset, dict) else []
        return validation_metric(self.args, self.compute_metrics, self.model.config.num_labels, sets)

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
            set_seed(self.args.seed)  # training goes on as after a constructor that was given the model
        return model

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        # The Trainer counts updates, of which a small batch makes more from the same texts.
        super()._report_to_hp_search(trial, round(100 * self.state.epoch), metrics)
