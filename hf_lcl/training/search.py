"""A Trainer whose searches compare what is worth comparing."""

from collections.abc import Callable
from dataclasses import fields
from functools import cached_property, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from transformers import Trainer
from transformers.trainer_utils import BestRun, HPSearchBackend, TrainOutput

from ..extras import load_extra
from .search_metric import validation_metric
from .search_spaces import wide_space


if TYPE_CHECKING:
    import optuna


class SearchingTrainer(Trainer):
    """The searching part of [`ContrastiveTrainer`]."""

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
        As in `transformers.Trainer`, with defaults that suit a loss whose size depends on what is searched. A trial
        whose loss is not finite is pruned. What a trial reports counts by hundredths of an epoch, so that pruning
        compares trials of different batch sizes after equally many texts.

        Args:
            hp_space (`Callable[[optuna.Trial], dict]`, *optional*): fields of [`ContrastiveTrainingArguments`] for a
                trial; defaults to [`search.wide_space`].
            compute_objective (`Callable[[dict], float]`, *optional*): what to compare, given the metrics; defaults to
                `metric_for_best_model`, else macro F1 or accuracy where `compute_metrics` has them, else the
                cross-entropy; see [`search.validation_metric`].
            n_trials (`int`, *optional*, defaults to 20): number of trials.
            direction (`str`, *optional*): `"maximize"` or `"minimize"`; by default what suits the metric, and
                `"minimize"` with a `compute_objective`.
            backend (`str`, *optional*, defaults to `"optuna"`): as in the Trainer; optuna comes with the extra
                `search`.
            hp_name (`Callable[[optuna.Trial], str]`, *optional*): names the folder of a trial.
            **kwargs: of `optuna.create_study` (`storage`, `study_name`, `sampler`, `pruner`, ...) and `timeout`. For a
                search that may be killed, or shared by processes, see [`search.SharedStudy`].

        Returns:
            `BestRun`: the number (`run_id`), value (`objective`) and values of the best trial.

        Raises:
            ImportError: if optuna is not installed.
            RuntimeError: for a trainer without `model_init`.
            ValueError: without an `eval_dataset`, for a `direction` that the default metric does not have, or for
                `head_refit=True` with evaluations before the classifier is fitted.

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
        if self.eval_dataset is None:
            raise ValueError("A search compares trials on validation texts: pass eval_dataset.")
        if self.args.head_refit and self.args.eval_strategy != "no":
            raise ValueError(
                "head_refit=True fits the classifier when training ends, but "
                f"eval_strategy={self.args.eval_strategy.value!r} judges it before: set eval_strategy='no'."
            )
        if compute_objective is None:
            metric, natural = self._search_metric
            if direction not in (None, natural):
                raise ValueError(f"direction={direction!r} is wrong for {metric}, of which the best is {natural}d.")
            compute_objective, direction = itemgetter(metric), natural
        for field in fields(self.args):
            # The Trainer casts a trial's value to the type of the present one: after temperature=10, 0.07 would be 0.
            value = getattr(self.args, field.name)
            if field.type is float and value is not None:
                setattr(self.args, field.name, float(value))
        return super().hyperparameter_search(
            hp_space or partial(wide_space, args=self.args),
            compute_objective,
            n_trials,
            direction or "minimize",
            backend,
            hp_name,
            **kwargs,
        )

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """As in `transformers.Trainer`; a trial that diverges is pruned: that is an answer, and ends no search."""
        try:
            return super().train(*args, **kwargs)
        except FloatingPointError as error:
            if self.hp_search_backend != HPSearchBackend.OPTUNA:
                raise
            raise load_extra("optuna", extra="search").TrialPruned(str(error)) from error

    @cached_property
    def _search_metric(self) -> tuple[str, str]:
        # Kept: the Trainer drops the model after each trial.
        return validation_metric(self.args, self.compute_metrics, self.model.config.num_labels)

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        # The Trainer counts updates, of which a small batch makes more from the same texts.
        super()._report_to_hp_search(trial, round(100 * self.state.epoch), metrics)
