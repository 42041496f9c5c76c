"""What `train --out_of_scope` does between training and evaluation; see `calibrate` for a finished classifier."""

from collections.abc import Callable
from functools import partial

import numpy as np
from datasets import DatasetDict
from transformers import EvalPrediction, PreTrainedTokenizerBase

from ..evaluation.finished import load_finished
from ..evaluation.scope import with_out_of_scope
from ..hub.export import saves_adapter
from ..hub.out_of_scope import add_out_of_scope, check_out_of_scope, describe
from ..model.modeling import LCLForSequenceClassification
from ..trainer import ContrastiveTrainer
from .arguments import DataArguments
from .exits import wrong_usage


@wrong_usage()
def check_scope(trainer: ContrastiveTrainer, splits: DatasetDict, data_args: DataArguments) -> None:
    """Raises a `UsageError`, before training, if `--out_of_scope` cannot be applied after it."""
    if data_args.rule is None:
        return
    if not trainer.args.do_train:
        raise ValueError(
            "out_of_scope changes the classifier that is trained: give --do_train, or use hf-lcl calibrate."
        )
    if "validation" not in splits:
        raise ValueError("out_of_scope is chosen on validation texts: give --validation_file or --validation_split.")
    model = trainer.unwrapped
    if saves_adapter(model, trainer.args):
        raise ValueError("out_of_scope needs a whole classifier, not an adapter alone: set merge_adapter=True.")
    check_out_of_scope(model.native)
    data_args.rule.check(len(splits["validation"]), len(splits["oos"]) if "oos" in splits else None)


def load_trained(trainer: ContrastiveTrainer) -> tuple[LCLForSequenceClassification, PreTrainedTokenizerBase]:
    """The classifier that a training has saved, and its tokenizer. Code that came with the model has run already."""
    has_own_code = type(trainer.unwrapped.native).__module__.startswith("transformers_modules")
    return load_finished(trainer.args.output_dir, trust_remote_code=has_own_code, may_have_several_labels=True)


def add_scope(
    trainer: ContrastiveTrainer, splits: DatasetDict, data_args: DataArguments
) -> Callable[[np.ndarray], np.ndarray] | None:
    """
    Adds the class `out_of_scope` to the classifier in `output_dir`; the model of the trainer stays as it is. From then
    on, the metrics of the trainer are those of the saved classifier. Returns a function from the logits of the former
    model to those of the saved one, or `None` if no such class is requested, and on all ranks but 0.
    """
    if data_args.rule is None or not trainer.is_world_process_zero():
        return None
    model, tokenizer = load_trained(trainer)
    batch_size = trainer.args.per_device_eval_batch_size
    validation, foreign = splits["validation"], splits.get("oos")
    facts = add_out_of_scope(
        trainer.args.output_dir, model, tokenizer, data_args.rule, validation, foreign, batch_size=batch_size
    )
    print(describe(facts))
    widen = partial(with_out_of_scope, temperature=facts["temperature"], cut=facts["cut"])
    measure = trainer.compute_metrics
    if measure is not None:
        trainer.compute_metrics = lambda found: measure(
            EvalPrediction(widen(np.asarray(found.predictions)), found.label_ids)
        )
    return widen
