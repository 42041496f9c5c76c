"""Changes to `lcl` that others report to help a contrastive objective, and one to `ce`. Each is a row of the study."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from transformers.trainer_utils import TrainOutput

from hf_lcl import ContrastiveTrainer, label_aware_contrastive_loss, supervised_contrastive_loss
from hf_lcl.losses.objective import Candidates, Objective


class RisingAlpha(ContrastiveTrainer):
    """Contrast first: `alpha` rises from 0.1 to 1 over the steps."""

    def make_objective(self) -> Objective:
        done = self.state.global_step / max(self.state.max_steps, 1)
        return replace(super().make_objective(), alpha=0.1 + 0.9 * done)


class WideJitter(ContrastiveTrainer):
    """In the order of a class by length, each text is moved by up to 16 others, not 2: batches mix more lengths."""

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        with patch("hf_lcl.data.sampler.JITTER_TEXTS", 16):
            return super().train(*args, **kwargs)


class ChangedObjective(ContrastiveTrainer):
    """A trainer with hooks before and after the objective of a training batch."""

    def before(self, embeddings: Tensor, weighting_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the embeddings and weighting logits to give to the objective."""
        return embeddings, weighting_logits

    def candidates(self, embeddings: Tensor, labels: Tensor, candidates: Candidates | None) -> Candidates | None:
        """Returns the candidates to compare the batch with."""
        return candidates

    def extra(self, logits: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor | float:
        """Returns a term to add to the loss."""
        return 0.0

    def make_objective(self) -> Callable:
        objective = super().make_objective()
        return partial(self.changed, objective) if self.model.training else objective

    def changed(
        self,
        objective: Objective,
        logits: Tensor,
        embeddings: Tensor,
        weighting_logits: Tensor | None,
        labels: Tensor,
        candidates: Candidates | None,
        **kwargs: Any,
    ) -> tuple[Tensor, dict]:
        """Computes `objective` with the hooks."""
        embeddings, weighting_logits = self.before(embeddings, weighting_logits)
        candidates = self.candidates(embeddings, labels, candidates)
        loss, parts = objective(logits, embeddings, weighting_logits, labels, candidates, **kwargs)
        return loss + self.extra(logits, embeddings, labels), parts


class RunningCentres(ChangedObjective):
    """Keeps a running mean of the embeddings of each class, so that every batch has a positive for each anchor."""

    means: Tensor | None = None

    def centres(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Updates the means with a batch, and returns them, not normalised; zero for classes not seen yet."""
        unit = functional.normalize(embeddings.detach().float())
        if self.means is None:
            self.means = unit.new_zeros(self.model.config.num_labels, unit.shape[1])
        for label in labels.unique():
            self.means[label] = 0.9 * self.means[label] + 0.1 * unit[labels == label].mean(0)
        return self.means


class ClassCentres(RunningCentres):
    """Adds a cross-entropy over the similarities of each text to the class centres."""

    def extra(self, logits: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor:
        centres = functional.normalize(self.centres(embeddings, labels))
        scores = functional.normalize(embeddings.float()) @ centres.T / self.args.temperature
        return (1 - self.args.alpha) * functional.cross_entropy(scores, labels)


class CentreCandidates(RunningCentres):
    """Adds the class centres to the candidates of the contrastive loss."""

    def candidates(self, embeddings: Tensor, labels: Tensor, candidates: Candidates | None) -> Candidates:
        centres = self.centres(embeddings, labels)
        seen = centres.any(dim=1).nonzero().squeeze(1)
        return Candidates(
            torch.cat([embeddings, centres[seen].to(embeddings.dtype)]),
            torch.cat([labels, seen]),
            anchor_positions=torch.arange(len(labels), device=labels.device),
            batch_size=len(labels),
        )


class FadingContrast(ChangedObjective):
    """
    Weights the contrastive loss of each anchor by the classifier's error on it, and detaches the embeddings from the
    weighting head. The encoder thus stops learning from texts that the classifier has learned.
    """

    def changed(
        self,
        objective: Objective,
        logits: Tensor,
        embeddings: Tensor,
        weighting_logits: Tensor | None,
        labels: Tensor,
        candidates: Candidates | None,
        **kwargs: Any,
    ) -> tuple[Tensor, dict]:
        if objective.name == "scl":
            contrastive = supervised_contrastive_loss
        else:
            weighting_logits = self.model.weighting_network(embeddings.detach())
            contrastive = partial(label_aware_contrastive_loss, weighting_logits=weighting_logits)
        cross_entropies, parts = replace(objective, alpha=1.0)(
            logits, embeddings, weighting_logits, labels, candidates, **kwargs
        )
        of_anchors = contrastive(embeddings, labels, temperature=objective.temperature, reduction="none")
        errors = 1 - logits.detach().float().softmax(dim=-1).gather(1, labels.unsqueeze(1)).squeeze(1)
        valid = (parts["valid_anchors"].value * len(labels)).clamp(min=1)
        contrast = (errors * of_anchors).sum() / valid
        return objective.alpha * cross_entropies + (1 - objective.alpha) * contrast, parts


class Projection(ChangedObjective):
    """Computes the contrastive loss on a projection head of two layers, which is used only in training."""

    def __init__(self, model: nn.Module, *args: Any, **kwargs: Any):
        super().__init__(model, *args, **kwargs)
        size = self.model.config.text_config.hidden_size
        # Part of the model, so that the optimizer includes its parameters.
        self.model.projection = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, 128))
        self.model.projection.to(self.args.device)

    def before(self, embeddings: Tensor, weighting_logits: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.projection(embeddings.float()), weighting_logits


class MixedWeights(ChangedObjective):
    """Mixes the label weights with a tenth of a uniform distribution."""

    def before(self, embeddings: Tensor, weighting_logits: Tensor) -> tuple[Tensor, Tensor]:
        weights = weighting_logits.float().softmax(dim=-1)
        return embeddings, (0.9 * weights + 0.1 / weights.shape[-1]).log()


class Uncorrelated(ChangedObjective):
    """Penalises correlations of the embedding dimensions (Cor-Reg, Zhang et al. 2022, with its factor)."""

    def extra(self, logits: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor:
        correlations = torch.corrcoef(embeddings.float().T)
        return 0.04 * torch.linalg.matrix_norm(correlations - torch.eye(len(correlations), device=logits.device))


class NearStart(ChangedObjective):
    """Penalises the distance of the encoder's weights to those at the first step (L2-SP, Li et al. 2018)."""

    starting: list[Tensor] | None = None

    def extra(self, logits: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor:
        weights = list(self.model.native.base_model.parameters())
        if self.starting is None:
            self.starting = [weight.detach().clone() for weight in weights]
        moved = sum((now - before).square().sum() for now, before in zip(weights, self.starting))
        return 0.1 / 2 * moved


class RelatedLabels(ChangedObjective):
    """Smooths the labels of the classifier by a tenth of the weighting network's probabilities."""

    def changed(
        self,
        objective: Objective,
        logits: Tensor,
        embeddings: Tensor,
        weighting_logits: Tensor,
        labels: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, dict]:
        loss, parts = super().changed(objective, logits, embeddings, weighting_logits, labels, *args, **kwargs)
        weights, logits = weighting_logits.detach().float().softmax(dim=-1), logits.float()
        change = functional.cross_entropy(logits, weights) - functional.cross_entropy(logits, labels)
        return loss + 0.1 * objective.alpha * change, parts


class LookingOn(ChangedObjective):
    """Detaches the embeddings from the weighting head, so that it does not train the encoder."""

    def before(self, embeddings: Tensor, weighting_logits: Tensor) -> tuple[Tensor, Tensor]:
        return embeddings, self.model.weighting_network(embeddings.detach())


class ProjectionLookingOn(Projection):
    """Both changes: only the classifier and the projected contrastive loss train the encoder."""

    def before(self, embeddings: Tensor, weighting_logits: Tensor) -> tuple[Tensor, Tensor]:
        weighting_logits = self.model.weighting_network(embeddings.detach())
        return super().before(embeddings, weighting_logits)


class FastHead(ContrastiveTrainer):
    """Multiplies the learning rate of all parameters outside the encoder by 20."""

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Optimizer:
        optimizer = super().create_optimizer(*args, **kwargs)
        encoder = {id(parameter) for parameter in self.model.native.base_model.parameters()}
        for group in list(optimizer.param_groups):
            head = [parameter for parameter in group["params"] if id(parameter) not in encoder]
            group["params"] = [parameter for parameter in group["params"] if id(parameter) in encoder]
            optimizer.add_param_group({**group, "params": head, "lr": 20 * group["lr"]})
        return optimizer


CLASSIFIER_SHARE = 0.02  # of `log(num_labels)`: texts count as learned by cross-entropy alone


def classifier_has_learned(cross_entropies: Sequence[float], num_labels: int) -> bool:
    """As `hf_lcl.training.learned.are_learned`, without a weighting network."""
    return cross_entropies[0] <= CLASSIFIER_SHARE * math.log(num_labels)


class ClassifierStops(ContrastiveTrainer):
    """Does for cross-entropy what `stop_when_learned` does for `lcl`: early stopping, mean of the weights, refit."""

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        rules = {"stops_when_learned": lambda *_: True, "are_learned": classifier_has_learned}
        with patch.multiple("hf_lcl.training.learned", **rules):
            return super().train(*args, **kwargs)
