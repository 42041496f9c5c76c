"""Changes to the start of `lcl`. Each is a row of the study."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from transformers.trainer_utils import TrainOutput

from hf_lcl import ContrastiveTrainer
from hf_lcl.start.head import GELU_INPUT_RMS, INVERSE_PENALTY, _logistic_regression

from .penalty import fit_by_cross_validation


class LongDistillation(ContrastiveTrainer):
    """The distillation of the start passes up to fifty times over few texts."""

    def distill_mean(self, *args: str) -> None:
        with patch("hf_lcl.start.mean_distillation.MAX_PASSES", 50):
            super().distill_mean(*args)


class NamesNotCompared(ContrastiveTrainer):
    """The names in a batch are further texts of it, but its texts are not compared with them once more."""

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        with patch("hf_lcl.losses.objective.cross_entropy_of_names", lambda embeddings, *_: 0 * embeddings.sum()):
            return super().train(*args, **kwargs)


class WarmNames(ContrastiveTrainer):
    """The texts of a batch are compared with its names at the temperature of the contrastive loss."""

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        with patch("hf_lcl.losses.objective.NAMES_TEMPERATURE", self.args.temperature):
            return super().train(*args, **kwargs)


class OtherNames(ContrastiveTrainer):
    """Classes have other names."""

    words: Sequence[str]

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        with patch("hf_lcl.training.names.words_of_names", lambda id2label: dict(zip(id2label, self.words))):
            return super().train(*args, **kwargs)


class LetterNames(OtherNames):
    """The names are letters."""

    words = "ABCD"


class NounNames(OtherNames):
    """The names are words that have nothing to do with emotions."""

    words = ("river", "table", "window", "button")


class PenalisedStart(ContrastiveTrainer):
    """Fits the starting head with thirty times the penalty, which leaves larger gradients for the encoder."""

    def fit_classifier(self, *args: str, **options: float) -> None:
        with patch("hf_lcl.start.head.INVERSE_PENALTY", 0.1):
            super().fit_classifier(*args, **options)


class CrossValidatedStart(ContrastiveTrainer):
    """
    Chooses the penalty of the starting head by cross-validated likelihood. Where frozen embeddings know little of the
    classes, the penalty is stronger, and leaves larger gradients for the encoder.
    """

    def fit_classifier(self, *args: str, keep: float = 0.0, **options: Any) -> None:
        fit = nullcontext() if keep else patch("hf_lcl.start.head._logistic_regression", cross_validated)
        with fit:
            super().fit_classifier(*args, keep=keep, **options)


def cross_validated(
    features: np.ndarray, labels: np.ndarray, *args: Any, inverse_penalty: float, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """As `hf_lcl.start.head._logistic_regression`, with one of seven penalties in the place of `inverse_penalty`."""
    penalties = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
    search = fit_by_cross_validation(features, labels, penalties, scoring="neg_log_loss")
    return _logistic_regression(features, labels, *args, inverse_penalty=search.best_params_["C"], **options)


class FittedWeights(ContrastiveTrainer):
    """Starts the weighting head, like the classifier, as a logistic regression on the frozen encoder."""

    @torch.no_grad()
    def fit_classifier(self, *args: str, **options: float) -> None:
        super().fit_classifier(*args, **options)
        model = self.model.eval()
        head = model.weighting_network
        embeddings, labels = [], []
        for batch in self.get_test_dataloader(self.train_dataset):
            labels.append(batch.pop("labels").cpu())
            embeddings.append(model(**batch).embeddings.float())
        embeddings = torch.cat(embeddings)
        nn.init.eye_(head.dense.weight).mul_(GELU_INPUT_RMS / embeddings.square().mean().sqrt().item())
        nn.init.zeros_(head.dense.bias)
        features = head.activation(head.dense(embeddings)).cpu().double().numpy()
        classes, options = torch.cat(labels).numpy(), {"with_bias": True, "inverse_penalty": INVERSE_PENALTY}
        weight, bias = _logistic_regression(features, classes, model.config.num_labels, None, **options)
        head.out_proj.weight.copy_(torch.from_numpy(weight))
        head.out_proj.bias.copy_(torch.from_numpy(bias))
