"""Early stopping once the training texts are learned, with a running mean of the weights."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerState
from transformers.utils import logging

from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification
from ..training_args import ContrastiveTrainingArguments


logger = logging.get_logger(__name__)

FILE = "weights_mean.safetensors"
# Texts count as learned when the mean cross-entropies of an epoch are at most these shares of `log(num_labels)`. The
# weighting network learns more slowly than the classifier, so its loss shows when little is left to learn. Training
# ends after `EPOCHS_FACTOR` times the epochs until then. Chosen in examples/results/trajectories.md.
CLASSIFIER_SHARE, WEIGHTING_SHARE = 0.05, 0.6
EPOCHS_FACTOR = 1.5
HEAD_KEPT_SHARE = 0.5  # weight of the trained last layer in its mean with one that is fitted to the final encoder
# The weights are sampled at least this many times in a training (at each step, if it has fewer), and at least once in
# each epoch. Their running mean is kept in host memory.
MIN_SAMPLES = 200


class StopWhenLearned(TrainerCallback):
    """
    Ends a training once its texts are learned, with the running mean of the weights, in which the weight of the k-th
    sample is proportional to k (polynomial-decay averaging).

    Further training only makes the classifier more confident on these texts, and the encoder generalises worse to
    others. If the texts are not learned by the last epoch, training ends as usual, with its last weights.

    `checkpoint` is the folder from which a training is resumed.

    Paper: [Stochastic Gradient Descent for Non-smooth Optimization](https://proceedings.mlr.press/v28/shamir13.html).
    """

    def __init__(self) -> None:
        self.checkpoint: str | None = None
        self._begin()

    def _begin(self) -> None:
        self.has_ended = False
        self._is_on = False
        self._mean: dict[str, Tensor] = {}
        self._samples = 0
        self._last_epoch: int | None = None
        self._losses: list[Sequence[float]] = []

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Starts afresh, or restores the state of a resumed run; `args` are the [`ContrastiveTrainingArguments`]."""
        self._begin()
        if state.global_step == 0:
            self._is_on = stops_when_learned(args, kwargs["model"], kwargs["train_dataloader"].dataset)
        elif self.checkpoint is not None and args.stop_when_learned is not False:
            self._load(Path(self.checkpoint) / FILE)
            if self._losses and (state.epoch or 0.5) % 1 == 0:  # written after the last step of an epoch, not its end
                self.on_epoch_end(args, state, control, **kwargs)

    def observe(self, cross_entropies: Sequence[float]) -> None:
        """Records the cross-entropies of a batch: of the classifier and, if it is trained, the weighting network."""
        if self._is_on:
            self._losses.append(cross_entropies)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Adds the weights to their running mean."""
        of_epoch = state.max_steps // max(1, state.num_train_epochs)
        if not self._is_on or state.global_step % max(1, min(of_epoch, state.max_steps // MIN_SAMPLES)):
            return
        if self._last_epoch is not None and (state.epoch or 0) > self._last_epoch:
            control.should_training_stop = True  # a finished training that is resumed takes one more step
            return
        self._samples += 1
        for name, parameter in trainable_parameters(kwargs["model"]):
            sample = parameter.detach().to("cpu", torch.float32)
            if name in self._mean:
                self._mean[name].lerp_(sample, 2 / (self._samples + 1))
            else:
                self._mean[name] = sample.clone()

    def on_epoch_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Checks whether the texts are learned, and whether to stop."""
        if not self._is_on or state.epoch is None:
            return
        epoch = round(state.epoch)
        means = [math.fsum(values) / len(values) for values in zip(*self._losses)]
        self._losses = []
        if self._last_epoch is None and means and are_learned(means, len(class_names(kwargs["model"].config))):
            self._last_epoch = math.ceil(EPOCHS_FACTOR * epoch)
            if state.is_world_process_zero:
                with tqdm.external_write_mode():  # not into the progress bar
                    logger.warning(
                        f"The training texts are learned after epoch {epoch}: training ends after epoch "
                        f"{min(self._last_epoch, state.num_train_epochs)}, with the mean of the weights. For all "
                        f"{state.num_train_epochs} epochs and the last weights, set stop_when_learned=False."
                    )
        if self._last_epoch is not None and epoch >= self._last_epoch:
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Replaces the last weights by their running mean if the texts are learned."""
        if self._is_on and self._last_epoch is not None:
            self.has_ended = True
            with torch.no_grad():
                for name, parameter in trainable_parameters(kwargs["model"]):
                    parameter.copy_(self._mean[name])

    def save(self, folder: str | Path) -> None:
        """Writes what a resumed training needs into a checkpoint."""
        if self._is_on:
            state = {"samples": self._samples, "last_epoch": self._last_epoch, "losses": self._losses}
            save_file(self._mean, Path(folder) / FILE, metadata={"state": json.dumps(state)})

    def _load(self, path: Path) -> None:
        if path.is_file():
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                self._mean = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._is_on, self._samples = True, state["samples"]
            self._last_epoch, self._losses = state["last_epoch"], state["losses"]


def trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that are not frozen, by name."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def are_learned(cross_entropies: Sequence[float], num_labels: int) -> bool:
    """Whether texts are learned, by the mean cross-entropies of an epoch as for [`StopWhenLearned.observe`]."""
    limits = CLASSIFIER_SHARE * math.log(num_labels), WEIGHTING_SHARE * math.log(num_labels)
    # Without a trained weighting network there is one cross-entropy, and texts never count as learned.
    return len(cross_entropies) == len(limits) and all(loss <= at for loss, at in zip(cross_entropies, limits))


def stops_when_learned(args: ContrastiveTrainingArguments, model: LCLForSequenceClassification, dataset: Any) -> bool:
    """
    Whether a run stops when its texts are learned: by default if its classifier was fitted before the first step, the
    case in which early stopping was evaluated. Not on a stream, whose texts cannot be read again for the refit.
    """
    if args.stop_when_learned is not None:
        return args.stop_when_learned
    was_fitted = "head_start" in (model.config.start or ()) and args.objective == "lcl"
    keeps_another = args.load_best_model_at_end or model.adapted_classifier is not None
    cannot = isinstance(dataset, IterableDataset) or model.config.has_several_labels
    return was_fitted and not keeps_another and not cannot
