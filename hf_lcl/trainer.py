"""The Trainer with a contrastive objective: what differs from `transformers.Trainer`, and nothing else."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, Sampler, SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from transformers.data.data_collator import DataCollator
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import BestRun, EvalLoopOutput, HPSearchBackend, TrainOutput
from transformers.utils import logging

from .data import ContrastiveDataCollator
from .data.sampler import SamplerEpochCallback
from .data.views import IS_NAME, input_columns, texts_alone
from .evaluation.metrics import classification_metrics
from .hub.card import CardFacts
from .hub.exporting_trainer import ExportingTrainer
from .hub.publisher import Publisher
from .losses import Objective
from .losses.meter import PartMeter
from .model.classes import class_names
from .model.modeling import LCLForSequenceClassification, native_inputs
from .model.outputs import LCLOutput
from .start import distill_mean, fit_head, mean_embeddings
from .start.unsupported import UnsupportedModelError
from .support.checkpoints import RunMark, resumed_from
from .training.batching import order_stream, passes, prepare_sampler
from .training.collapse import CollapseMonitor
from .training.data_sets import DataSets
from .training.learned import HEAD_KEPT_SHARE, StopWhenLearned
from .training.names import BatchesWithNames, names_of_model
from .training.preparing import check_arguments, prepare_model, prepare_objective, warn_of_untrained
from .training.raw_rows import RawRows
from .training.search import prepare_search, pruning
from .training.start import MAX_COMPARED, MAX_TEXTS, Start, distillation_batches, learns_names, texts_and_names
from .training.step import Step
from .training_args import ContrastiveTrainingArguments


if TYPE_CHECKING:
    import optuna
    from peft import PeftConfig

logger = logging.get_logger(__name__)


class ContrastiveTrainer(ExportingTrainer):
    """
    `transformers.Trainer` that minimises the objective of [`ContrastiveTrainingArguments`] and writes a standard
    sequence classifier. Resume, early stopping, best model, accumulation, mixed precision and trackers are inherited.

    Each log line also holds the parts of the loss (`loss_ce`, `loss_weighting`, `loss_contrastive`, `loss_names`), the
    share of texts that have a positive (`valid_anchors`), the mean numbers `positives_per_anchor` and
    `candidates_per_anchor`, and the mean cosines `positive_similarity` and `negative_similarity`; evaluation, whose
    batches are without class names, logs them with its prefix. The contrastive parts depend on the composition of the
    batches: select models by accuracy, F1 or `loss_ce`.

    Args:
        model ([`LCLForSequenceClassification`], `PreTrainedModel` or `str`): the model, a plain sequence classifier,
            or the name of an encoder. The last two are wrapped, with a weighting head for `objective="lcl"`; a name
            takes its classes from the training set.
        args ([`ContrastiveTrainingArguments`]): all settings.
        data_collator (`Callable`, *optional*): defaults to a [`ContrastiveDataCollator`].
        train_dataset, eval_dataset: tokenised rows with `labels` (class ids), or a stream of them (with `max_steps`),
            balanced by a buffer; see [`data.balance_stream`]. Or texts with labels in any form, which are tokenised
            here: see [`training.raw_rows.RawRows`]. `predict` and `evaluate` take all of these, and plain strings.
            Lists of labels (in tokenised rows, rows of 0 and 1) make the model one for several labels per text.
        processing_class (`PreTrainedTokenizerBase`, *optional*): pads batches and is saved beside the model; for texts
            it defaults to the encoder's.
        text_column, label_column (`str`, *optional*): columns of raw texts; default to `"text"` and `"label"`.
        peft_config (`PeftConfig`, *optional*): such as `peft.LoraConfig(r=8)`: trains an adapter, the classifier and
            the weighting network instead of all weights. What is saved is the merged classifier, or the adapter
            (`merge_adapter=False`).
        **kwargs: as in `transformers.Trainer`.

    Raises:
        TypeError: for a model or arguments of the wrong class.
        ValueError: for data without token ids, labels that the model has no class for, a single class, or
            `objective="lcl"` with a model that has no weighting network.
        FloatingPointError: during training, when the loss is not finite.

    Example:

    ```python
    >>> from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments

    >>> model, args = "google/electra-base-discriminator", ContrastiveTrainingArguments("out", objective="lcl")
    >>> trainer = ContrastiveTrainer(model, args, train_dataset=train, processing_class=tokenizer)
    >>> output = trainer.train()
    >>> trainer.save_model()  # AutoModelForSequenceClassification.from_pretrained("out") needs no hf_lcl
    ```
    """

    # The loss is the mean over a batch; the Trainer divides it by the number of accumulation steps.
    loss_is_scaled_for_ga = False
    _signature_columns: Any  # the Trainer's annotation is incomplete
    objective: Any  # of a trial

    def __init__(
        self,
        model: PreTrainedModel | str | None = None,
        args: ContrastiveTrainingArguments | None = None,
        data_collator: DataCollator | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        text_column: str | Sequence[str] | None = None,
        label_column: str | None = None,
        peft_config: "PeftConfig | None" = None,
        **kwargs: Any,
    ):
        args = ContrastiveTrainingArguments("tmp_trainer") if args is None else args
        check_arguments(args, peft_config, **kwargs)
        self._data = DataSets(RawRows(model, processing_class, text_column, label_column), train_dataset, eval_dataset)
        data, raw = self._data.training, self._data.raw
        if raw.found_some:
            kwargs.setdefault("compute_metrics", classification_metrics)
        self._peft_config = peft_config
        self._step, self._eval_parts = Step(args), PartMeter()
        self.publisher = Publisher(args)
        self._past_optimizer: torch.optim.Optimizer | None = None  # the one that an earlier training created
        if model is not None:
            model = prepare_model(model, args, data, raw.tokenizer, peft_config)
        if data_collator is None and raw.tokenizer is not None:
            data_collator = ContrastiveDataCollator(raw.tokenizer)
        with warnings.catch_warnings():
            # The objective applies label smoothing, not the Trainer.
            warnings.filterwarnings("ignore", "Label smoothing is not compatible")
            super().__init__(model, args, data_collator, data.dataset, self._data.evaluation, raw.tokenizer, **kwargs)
        start = Start(self.embed_texts, self.distill_mean, self.fit_classifier)
        self._learned = StopWhenLearned()
        for callback in (RunMark(), SamplerEpochCallback(), start, self._learned, CollapseMonitor()):
            self.add_callback(callback)

    # Data

    @property
    def train_dataset(self) -> Any:
        """The training set; it may be replaced between two trainings."""
        return self._data.training.dataset

    @train_dataset.setter
    def train_dataset(self, dataset: Any) -> None:
        if dataset is not self.train_dataset:
            self._data.set_training(dataset, self.unwrapped, self.args)

    @property
    def eval_dataset(self) -> Any:
        """The evaluation set, or several by name."""
        return self._data.evaluation

    @eval_dataset.setter
    def eval_dataset(self, dataset: Any) -> None:
        self._data.set_evaluation(dataset, self.unwrapped)

    def _set_signature_columns_if_needed(self) -> None:
        # The wrapper passes on all inputs of the architecture: their columns must be kept (token_type_ids, ...).
        self._signature_columns = None  # resets those of an earlier training, perhaps with other views
        super()._set_signature_columns_if_needed()
        taken = [*self._signature_columns, *native_inputs(self.unwrapped.native)]
        self._signature_columns = [*input_columns(taken, self.processing_class, self.args.view), IS_NAME]

    def _names_as_texts(self, dataset: Any) -> list[dict[str, Any]]:
        return names_of_model(self.unwrapped, dataset, self.args, self.processing_class, self.data_collator)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        # A sampler is the public way to fix the composition of batches that are then sharded over processes.
        with_names = isinstance(train_dataset, BatchesWithNames)
        sampler = prepare_sampler(self.args, self._data.training, self._train_batch_size, with_names=with_names)
        return super()._get_train_sampler(train_dataset) if sampler is None else sampler

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler | None:
        # Predictions have the order of the rows. With `train_sampling_strategy="group_by_length"`, the Trainer would
        # shuffle these, too.
        sampler = super()._get_eval_sampler(eval_dataset)
        return SequentialSampler(eval_dataset) if isinstance(sampler, LengthGroupedSampler) else sampler

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> DataLoader:
        # All data sets pass through here: those of `predict` and `evaluate` in any form, and those of training: a
        # stream, which takes no sampler, or rows. There is no public method to replace the data set of a dataloader.
        dataset = self._data.raw(dataset, model=self.unwrapped)
        if kwargs.get("is_training") and isinstance(dataset, IterableDataset):
            dataset = order_stream(dataset, self.args, self._train_batch_size, self._num_labels)
        elif kwargs.get("is_training") and learns_names(self.args, self.unwrapped, dataset):
            names = self._names_as_texts(dataset)
            dataset = BatchesWithNames(dataset, names) if names else dataset
        return super()._get_dataloader(dataset, *args, **kwargs)

    # The run

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """
        As in `transformers.Trainer`; `True` or `"last"` resumes from the newest complete checkpoint, if there is one.
        `stop_when_learned` may end it before its last epoch; `head_refit` fits the classifier once more.

        Raises:
            ValueError: for a folder that is not a complete checkpoint of such a run.
        """
        self._look_again()
        self._learned.checkpoint = checkpoint = resumed_from(resume_from_checkpoint, self.unwrapped, self.args)
        is_made = self.optimizer is None
        try:
            with pruning(self.hp_search_backend):
                output = super().train(checkpoint, *args, **kwargs)
        finally:
            self._past_optimizer = self.optimizer if is_made else None
        if self.args.head_refit or self._learned.has_ended:
            try:
                self.fit_classifier(keep=0.0 if self.args.head_refit else HEAD_KEPT_SHARE)
            except UnsupportedModelError as error:  # the trained classifier is kept
                logger.warning(f"The classifier is not fitted at the end. {error}")
            self.objective = None  # so that a search evaluates once more: what the trial ends with
        return output

    def _look_again(self) -> None:
        """Checks what may have changed since the constructor: arguments, rows, and the optimizer."""
        args = self.args
        check_arguments(args, self._peft_config)
        self._step, self.publisher.args = Step(args), args
        if not args.auto_find_batch_size:  # keeps the size that it has found
            self._train_batch_size = args.train_batch_size
        self._data.set_training(self.train_dataset, self.unwrapped, args)
        if self.optimizer is self._past_optimizer:
            self.optimizer = None  # or the Trainer would reuse the learning rate and parameters of that training
        self.eval_dataset = self.eval_dataset
        if self.model is not None and self.optimizer is not None:
            warn_of_untrained(self.unwrapped, self.optimizer)

    def embed_texts(self, description: str = "embeddings") -> tuple[Tensor, Tensor]:
        """
        Embeds up to 2,000 training texts, then the name of each class with `names_as_texts`; returns their
        [`start.mean_embeddings`] and labels.
        """
        gather = self.accelerator.gather_for_metrics
        batches = self._read_once(MAX_COMPARED)
        return mean_embeddings(self.unwrapped, batches, gather=gather, description=description)

    def distill_mean(self, description: str = "mean into first token") -> None:
        """Trains the encoder's first token, without labels, to match the mean; see [`start.distill_mean`]."""
        batch_size = self._train_batch_size * self.accelerator.num_processes
        dataloader: Any = self.get_train_dataloader()
        num_batches = distillation_batches(self.args, len(dataloader.dataset), batch_size, self.state.max_steps)
        batches = map(texts_alone, map(self._prepare_inputs, passes(dataloader)))  # which a user's leaves on the CPU
        average = partial(self.accelerator.reduce, reduction="mean")
        distill_mean(self.unwrapped, batches, num_batches, average=average, description=description)

    def fit_classifier(self, description: str = "features", keep: float = 0.0) -> tuple[Tensor, Tensor]:
        """
        Fits the classifier to the training set by logistic regression on the embeddings; the encoder is unchanged.
        With `names_as_texts`, the name of each class is added to its texts. `keep` is the weight of the present
        classifier in its mean with the fitted one. See [`start.fit_head`].
        """
        weights = self._data.training.class_weights(self.args, self._num_labels)
        gather = self.accelerator.gather_for_metrics
        options: Any = {"class_weights": weights, "gather": gather, "description": description}
        return fit_head(self.unwrapped, self._read_once(MAX_TEXTS), keep=keep, **options)

    def _read_once(self, most: int) -> Iterator[dict[str, Tensor]]:
        texts = texts_and_names(self.train_dataset, self._names_as_texts(self.train_dataset), self.args.seed, most)
        # Not an evaluation dataloader: with persistent workers, the Trainer would cache it for the next evaluation.
        return map(texts_alone, self.get_test_dataloader(texts))

    # Steps

    def make_objective(self) -> Objective:
        """The objective of training and evaluation, from the current arguments; override it to use another."""
        return prepare_objective(self.args, self.unwrapped.config, self._data.training)

    def training_step(self, model: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """
        As in `transformers.Trainer`; with `mini_batch_size` in two passes, see [`training.scaling.GradientCache`].

        Raises:
            FloatingPointError: when the loss is not finite, before the weights are updated.
        """
        loss = super().training_step(model, *args, **kwargs)
        no_sync = partial(self.accelerator.no_sync, model)
        self._step.finish(model, step=self.state.global_step, batch_size=self._train_batch_size, no_sync=no_sync)
        self._learned.observe(self._step.cross_entropies)
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, LCLOutput]:
        """The objective on one batch. In evaluation the outputs are logits only."""
        outputs: Any
        inputs = dict(inputs)
        labels, is_name, objective = inputs.pop("labels"), inputs.pop(IS_NAME, None), self.make_objective()
        if model.training:
            # Unknown outside of a training.
            scale = 1 / getattr(self, "current_gradient_accumulation_steps", 1)
            average = partial(self.accelerator.reduce, reduction="mean")
            outputs, loss, labels = self._step.loss(
                model, inputs, labels, self.unwrapped.config, objective, is_name=is_name, scale=scale, average=average
            )
            for callback in self.callback_handler.callbacks:
                if isinstance(callback, CollapseMonitor) and self.args.is_contrastive:
                    callback.observe(outputs.embeddings, outputs.logits, labels)
        else:
            outputs = model(**texts_alone(inputs))
            loss, parts = objective(outputs.logits, outputs.embeddings, outputs.weighting_logits, labels)
            self._eval_parts.add(parts, gather_rows=self.accelerator.gather_for_metrics, rows=len(labels))
        return (loss, LCLOutput(loss=loss, logits=outputs.logits)) if return_outputs else loss

    # Logging

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As in `transformers.Trainer`; lines with a training loss also get its parts."""
        if "loss" in logs:
            logs = logs | self._step.parts.averages(reduce=lambda totals: self.accelerator.reduce(totals, "sum"))
        super().log(logs, start_time)

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As in `transformers.Trainer`; the texts may have any form that the constructor takes."""
        names_set = isinstance(eval_dataset, str) and isinstance(self.eval_dataset, dict)
        data = eval_dataset if names_set else self._data.raw(eval_dataset, "evaluation", self.unwrapped)
        return super().evaluate(data, *args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """As in `transformers.Trainer`; the metrics also hold the parts of the loss."""
        self._eval_parts.reset()
        output, prefix = super().evaluation_loop(*args, **kwargs), kwargs.get("metric_key_prefix", "eval")
        parts = {f"{prefix}_{name}": value for name, value in self._eval_parts.averages().items()}
        return output._replace(metrics=(output.metrics or {}) | parts)

    # The end of a run

    def _save_for_resuming(self, checkpoint: str) -> None:
        super()._save_for_resuming(checkpoint)
        if self.args.should_save:
            self._learned.save(checkpoint)

    def _card_facts(self, **known: Any) -> CardFacts:
        return super()._card_facts(done=["stop_when_learned"] if self._learned.has_ended else [], **known)

    # Searching

    def hyperparameter_search(
        self,
        hp_space: "Callable[[optuna.Trial], dict[str, Any]] | None" = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] | None = None,
        backend: str | HPSearchBackend | None = "optuna",
        *args: Any,
        **kwargs: Any,
    ) -> BestRun | list[BestRun]:
        """
        As in `transformers.Trainer`; by default the space is [`training.search.wide_space`], and trials are compared
        by [`training.search.validation_metric`]. A trial whose loss is not finite is pruned. Trials report progress in
        hundredths of an epoch, so that pruning compares batch sizes after the same number of texts.

        Raises:
            ImportError: if optuna is not installed.
            RuntimeError: for a trainer without `model_init`.
            ValueError: see [`training.search.prepare_search`].

        Example:

        ```python
        >>> data = {"train_dataset": train, "eval_dataset": validation, "processing_class": tokenizer}
        >>> trainer = ContrastiveTrainer(None, args, model_init=lambda: "google/electra-base-discriminator", **data)
        >>> best = trainer.hyperparameter_search(n_trials=10).hyperparameters  # {"temperature": ..., ...}
        ```
        """
        several = self._data.training.has_several_labels
        known = self.args, self.eval_dataset, self.compute_metrics, self._num_labels, several
        space, compute, direction = prepare_search(*known, hp_space, compute_objective, direction, backend)
        return super().hyperparameter_search(space, compute, n_trials, direction, backend, *args, **kwargs)

    @cached_property
    def _num_labels(self) -> int:
        return len(class_names(self.unwrapped.config))  # cached: the Trainer deletes the model after each trial

    def call_model_init(self, trial: Any = None) -> LCLForSequenceClassification:
        """As in `transformers.Trainer`; `model_init` may return whatever `model` accepts."""
        if trial is not None:
            # The Trainer applies a trial's arguments after building the model: too late for its weighting network.
            self._hp_search_setup(trial)
            check_arguments(self.args, self._peft_config)
            set_seed(self.args.seed)
        model: Any = super().call_model_init(trial)
        model = prepare_model(model, self.args, self._data.training, self._data.raw.tokenizer, self._peft_config)
        if trial is not None:
            set_seed(self.args.seed)  # the same random state as with a model passed to the constructor
        return model

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        # The Trainer reports the number of updates, which is larger for smaller batches of the same texts.
        super()._report_to_hp_search(trial, round(100 * (self.state.epoch or 0)), metrics)
