"""The data sets of a trainer: converted from any form, and checked against its model."""

from typing import Any

from ..model.modeling import LCLForSequenceClassification
from ..training_args import ContrastiveTrainingArguments
from .preparing import align_model
from .raw_rows import RawRows
from .splits import TrainingSet, check_evaluation_set


class DataSets:
    """
    The `training` set, and the `evaluation` set or several by name. Both may be replaced, also while there is no
    model: the Trainer deletes it after each trial of a search.
    """

    def __init__(self, raw: RawRows, training: Any, evaluation: Any):
        self.raw = raw
        training = raw(training, "train")
        self.training = TrainingSet(training, raw.names)
        self.evaluation = raw(evaluation, "evaluation", names=self.training.class_names)

    def set_training(
        self, dataset: Any, model: LCLForSequenceClassification | None, args: ContrastiveTrainingArguments
    ) -> None:
        """Replaces the training set, if it fits the model; see [`preparing.align_model`]."""
        dataset = self.raw(dataset, "train", model)
        found = TrainingSet(dataset, self.raw.names)
        if model is not None:
            align_model(model, args, found)
        self.training = found

    def set_evaluation(self, dataset: Any, model: LCLForSequenceClassification | None) -> None:
        """Replaces the evaluation set, if it fits the model; see [`splits.check_evaluation_set`]."""
        if model is not None:
            dataset = self.raw(dataset, "evaluation", model)
            check_evaluation_set(dataset, model.config, self.training.names)
        self.evaluation = dataset
