"""Every architecture in the Trainer: resuming and loading the best model restore every tensor."""

import copy
import warnings
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tiny_architectures import EVERY_ARCHITECTURE, tiny_wrapper
from transformers import TrainerCallback

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments


class Recorder(TrainerCallback):
    """Copies all tensors of the model in training after every step."""

    def __init__(self):
        self.states = {}

    def on_step_end(self, args, state, control, model, **kwargs):
        self.states[state.global_step] = copy.deepcopy(model.state_dict())


def make_trainer(name: str, folder: Path, several: bool) -> tuple[ContrastiveTrainer, Recorder]:
    """Two steps on eighteen rows, with a checkpoint after each; the first one counts as the best."""
    model, inputs = tiny_wrapper(name)
    columns = {key: tensor.repeat(3, 1).tolist() for key, tensor in inputs.items()}
    labels: list = [0, 1, 2]
    if several:
        labels = [[1.0, 0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 1.0], [0.0] * 5]
    rows = Dataset.from_dict(columns | {"labels": labels * 6})
    args = ContrastiveTrainingArguments(
        str(folder),
        objective="lcl",
        max_steps=2,
        learning_rate=1e-2,
        per_device_train_batch_size=6,
        per_device_eval_batch_size=18,
        save_strategy="steps",
        save_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="earliness",
        greater_is_better=True,
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    recorder = Recorder()
    trainer = ContrastiveTrainer(
        model,
        args,
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=lambda _: {"earliness": -trainer.state.global_step},
        callbacks=[recorder],
    )
    return trainer, recorder


def different(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """The tensors that are not equal to the last bit."""
    return [key for key in state.keys() | other.keys() if not torch.equal(state[key], other[key])]


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_nothing_is_lost(name, several, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some architectures warn about their own defaults
        whole, kept = make_trainer(name, tmp_path / "whole", several)
        whole.train()
        resumed, kept_again = make_trainer(name, tmp_path / "resumed", several)
        for parameter in resumed.model.parameters():
            parameter.data.fill_(123.0)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-1"))

    assert different(kept.states[1], kept.states[2]) != []
    assert different(whole.model.state_dict(), kept.states[1]) == []
    assert kept_again.states.keys() == {2}
    assert different(kept_again.states[2], kept.states[2]) == []
    assert different(resumed.model.state_dict(), kept.states[1]) == []
