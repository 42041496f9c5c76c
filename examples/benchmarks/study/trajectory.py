"""Evaluates all stopping points, running means of weights and heads on held-out texts during a single training."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerState


# Inverse strengths of the L2 penalty of a refit, for centred features with a mean squared norm of 1.
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
FOLDS = 3


class Reader:
    """
    Computes the inputs of a classifier's last layer for a set of texts. Does not change random states.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): pads batches.
        rows (`Iterable[dict]`): tokenised texts with `labels`.
        batch_size (`int`, *optional*, defaults to 64): texts in a batch, which are of similar length.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, rows: Iterable[dict[str, Any]], batch_size: int = 64):
        rows = list(rows)
        self.labels = np.array([row["labels"] for row in rows])
        order = np.argsort([len(row["input_ids"]) for row in rows], kind="stable")
        inputs = [{name: row[name] for name in tokenizer.model_input_names if name in row} for row in rows]
        parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        self._batches = [tokenizer.pad([inputs[row] for row in part], return_tensors="pt") for part in parts]
        self._restore = np.argsort(order)

    def __call__(self, classifier: PreTrainedModel) -> np.ndarray:
        """Returns features `(texts, features)` in double precision, in the order of the rows."""
        given: list[Tensor] = []
        hook = last_layer(classifier).register_forward_pre_hook(lambda _, args: given.append(args[0].double().cpu()))
        was_training = classifier.training
        classifier.eval()
        try:
            with torch.inference_mode():
                for batch in self._batches:
                    classifier(**batch.to(classifier.device))
        finally:
            hook.remove()
            classifier.train(was_training)
        return torch.cat(given).numpy()[self._restore]


def last_layer(classifier: PreTrainedModel) -> nn.Linear:
    """The layer that computes the logits."""
    return [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)][-1]


def scores(logits: np.ndarray, labels: np.ndarray) -> list[float]:
    """Accuracy and mean negative log-likelihood."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    likelihood = -log_probabilities[np.arange(len(labels)), labels].mean()
    return [round(float((logits.argmax(axis=1) == labels).mean()), 4), round(float(likelihood), 4)]


class Refit:
    """
    Logistic regressions on features of the training texts, one for each penalty.

    Args:
        features (`np.ndarray` of shape `(texts, features)`): features of training texts, at least one of each class.
        labels (`np.ndarray` of shape `(texts,)`): class ids.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray):
        self._mean = features.mean(axis=0)
        self._scale = np.sqrt(np.square(features - self._mean).sum(axis=1).mean()).clip(min=1e-12)
        self._features, self._labels = self._scaled(features), labels
        self._fitted = {penalty: regression(penalty).fit(self._features, labels) for penalty in PENALTIES}

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return (features - self._mean) / self._scale

    def logits(self, features: np.ndarray, penalty: float) -> np.ndarray:
        """Logits `(texts, classes)` of other texts."""
        fitted, scaled = self._fitted[penalty], self._scaled(features)
        return scaled @ fitted.coef_.T + fitted.intercept_

    def chosen(self) -> float:
        """The penalty with the highest likelihood in cross-validation on the training texts."""
        folds = StratifiedKFold(min(FOLDS, np.bincount(self._labels).min()), shuffle=True, random_state=0)
        losses = {}
        for penalty in PENALTIES:
            probabilities = cross_val_predict(
                regression(penalty), self._features, self._labels, cv=folds, method="predict_proba"
            )
            losses[penalty] = log_loss(self._labels, probabilities)
        return min(losses, key=lambda penalty: losses[penalty])


def regression(penalty: float) -> LogisticRegression:
    """An unfitted logistic regression."""
    return LogisticRegression(C=penalty, max_iter=1000)


def judge(classifier: PreTrainedModel, train: Reader, held_out: Reader) -> dict[str, Any]:
    """
    Accuracy and negative log-likelihood of a classifier with its trained head, with heads refitted to the training
    texts, and with the mean of both (`half`).
    """
    layer = last_layer(classifier)
    weight, bias = (tensor.detach().double().cpu().numpy() for tensor in (layer.weight, layer.bias))
    features, labels = held_out(classifier), held_out.labels
    trained, refit = features @ weight.T + bias, Refit(train(classifier), train.labels)
    by_penalty = {penalty: refit.logits(features, penalty) for penalty in PENALTIES}
    return {
        "trained": scores(trained, labels),
        "refit": {str(penalty): scores(logits, labels) for penalty, logits in by_penalty.items()},
        # Both heads are linear in the same features: averaging their weights averages their logits.
        "half": {str(penalty): scores((trained + logits) / 2, labels) for penalty, logits in by_penalty.items()},
    }


def stops(epochs: int, shares: tuple[float, ...]) -> list[int]:
    """The epochs at whose end these shares of the training are done."""
    return sorted({max(1, round(share * epochs)) for share in shares})


class Trajectory(TrainerCallback):
    """
    Evaluates iterates and their running mean during a training. The iterate of step t has a weight proportional to t
    in the mean, so that early iterates hardly count; the mean takes the memory of one copy of the weights. The
    training is not affected: its weights stay the same to the last bit.

    Args:
        classifier (`PreTrainedModel`): the classifier in training.
        look (`Callable[[], dict]`): evaluates it with its present weights.
        iterates (`list[int]`): epochs after which to evaluate the iterate.
        means (`list[int]`): epochs after which to evaluate the mean.
    """

    def __init__(
        self,
        classifier: PreTrainedModel,
        look: Callable[[], dict[str, Any]],
        iterates: list[int],
        means: list[int],
    ):
        self.points: list[dict[str, Any]] = []
        self.looking_seconds = 0.0
        self._classifier, self._look, self._iterates, self._means = classifier, look, iterates, means
        self._mean = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in self._parameters()]
        self._steps = 0

    def _parameters(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._classifier.parameters()]

    def _add_point(self, epoch: int, weights: str) -> None:
        start = time.process_time()
        self.points.append({"epoch": epoch, "weights": weights, **self._look()})
        self.looking_seconds += time.process_time() - start

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Adds the iterate to the running mean."""
        self._steps += 1
        for mean, parameter in zip(self._mean, self._parameters(), strict=True):
            mean.lerp_(parameter.float(), 2 / (self._steps + 1))

    def on_epoch_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Evaluates the iterate and the mean, if this epoch is listed."""
        epoch = round(state.epoch)
        if epoch in self._iterates:
            self._add_point(epoch, "iterate")
        if epoch in self._means:
            with other_weights(self._parameters(), self._mean):
                self._add_point(epoch, "mean")


@contextmanager
def other_weights(parameters: list[Tensor], others: list[Tensor]) -> Iterator[None]:
    """Context manager that replaces the values of parameters by others, and restores them at its end."""
    kept = [parameter.clone() for parameter in parameters]
    overwrite(parameters, others)
    try:
        yield
    finally:
        overwrite(parameters, kept)


def overwrite(tensors: list[Tensor], others: list[Tensor]) -> None:
    """Copies the values of `others` into `tensors`, in place."""
    for tensor, other in zip(tensors, others, strict=True):
        tensor.copy_(other)


def epoch_losses(history: list[dict[str, Any]], num_labels: int) -> dict[str, list[float]]:
    """Epoch means of the two cross-entropies, as shares of log(num_labels), from the log history of a trainer."""
    logged = [line for line in history if "loss" in line]
    return {
        name: [round(line[name] / np.log(num_labels), 4) for line in logged]
        for name in ("loss_ce", "loss_weighting")
        if logged and name in logged[0]
    }
