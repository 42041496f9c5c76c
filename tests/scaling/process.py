"""The work of each of several processes, which tests compare with that of a single process."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from datasets import load_from_disk
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.futures import Future
from transformers import AutoTokenizer

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    classification_metrics,
)
from hf_lcl.data.views import IS_NAME
from hf_lcl.training.scaling import gather_candidates


# Shard sizes of a batch by world size: uneven, as in the last batch of an epoch.
SHARES = {1: [12], 3: [6, 5, 1]}
NAMES = (1, 4, 5, 8, 11)  # places in a batch of the rows that are taken for names of classes
STEPS = {
    "scl": {"objective": "scl"},
    "lcl": {"objective": "lcl"},
    "weighted": {"objective": "lcl", "class_weights": [1.0, 2.0, 3.0, 4.0], "label_smoothing_factor": 0.1},
    "views": {"objective": "lcl", "num_views": 2, "class_weights": [1.0, 2.0, 3.0, 4.0]},
    "cached": {"objective": "lcl", "mini_batch_size": 2},
    "names": {"objective": "lcl"},
    "names, views": {"objective": "scl", "num_views": 2, "mini_batch_size": 5},
    "several": {"objective": "lcl", "class_weights": [1.0, 2.0, 3.0, 4.0], "label_smoothing_factor": 0.1},
    "several, views": {"objective": "lcl", "num_views": 2, "mini_batch_size": 5},
}
RUN = {"objective": "lcl", "num_train_epochs": 2, "sampler": "random", "seed": 3}


class Process:
    """One of the processes, with the folder of files that the test has written."""

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        self.folder = folder
        self.kinds = {kind: load_from_disk(folder / kind) for kind in ("splits", "several")}
        # Three full steps of 12: a last batch would be filled up with rows that depend on the number of processes.
        for splits in self.kinds.values():
            splits["train"] = splits["train"].select(range(36))
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "wrapper")

    def trainer(self, name: str, batch: int, **settings) -> ContrastiveTrainer:
        model = LCLForSequenceClassification.from_pretrained(self.folder / "wrapper")
        self.splits = self.kinds["several" if name.startswith("several") else "splits"]
        defaults = {"logging_steps": 1, "save_strategy": "no", "learning_rate": 1e-3, "report_to": "none"}
        args = ContrastiveTrainingArguments(
            str(self.folder / f"{name}-{self.processes}"),
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=5,
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **defaults | settings,
        )
        return ContrastiveTrainer(
            model,
            args,
            train_dataset=self.splits["train"],
            eval_dataset=self.splits["validation"],
            processing_class=self.tokenizer,
            compute_metrics=classification_metrics,
        )

    @property
    def processes(self) -> int:
        return int(os.environ.get("WORLD_SIZE", 1))  # as torchrun sets it

    def gradients(self, name: str, settings: dict) -> dict[str, torch.Tensor]:
        """The gradient of two steps over the same rows, of which this process computes its shard."""
        trainer = self.trainer(name, batch=12, **settings)
        model = trainer.accelerator.prepare(trainer.model)
        synchronisations = []
        if self.processes > 1:
            model.register_comm_hook(synchronisations, counted_allreduce)
        trainer.current_gradient_accumulation_steps = 1
        rank, shares = trainer.args.process_index, SHARES[self.processes]
        for step in range(2):
            start = 12 * step + sum(shares[:rank])
            rows = [self.splits["train"][index] for index in range(start, start + shares[rank])]
            rows = [{key: row[key] for key in ("input_ids", "attention_mask", "labels")} for row in rows]
            if name.startswith("names"):  # the last process has no text, and two may have names of one class
                marks = [place in NAMES for place in range(sum(shares[:rank]), 12)]
                rows = [row | {IS_NAME: mark} for row, mark in zip(rows, marks)]
            trainer.training_step(model, trainer.data_collator(rows))
        if self.processes > 1 and synchronisations != [True] * 2:
            raise RuntimeError(f"{len(synchronisations)} synchronisations in two steps.")
        gradients = {key: parameter.grad for key, parameter in trainer.model.named_parameters()}
        parts = trainer._step.parts.averages(lambda totals: trainer.accelerator.reduce(totals, "sum"))
        return gradients | {f"part {key}": torch.tensor(value) for key, value in parts.items()}

    def run(self) -> dict[str, torch.Tensor]:
        """A whole training with 12 rows per step: its losses, its evaluation and the final classifier."""
        return self.results(self.trainer("run", batch=12 // self.processes, **RUN))

    def several_run(self) -> dict[str, torch.Tensor]:
        """A training with several labels per text and a classifier that is fitted before the first step."""
        trainer = self.trainer("several_run", batch=12 // self.processes, **RUN | {"head_start": True})
        return self.results(trainer)

    def learned(self) -> dict[str, torch.Tensor]:
        """A training that stops early, with thresholds so high that the texts count as learned after one epoch."""
        settings = RUN | {"num_train_epochs": 4, "stop_when_learned": True}
        with patch.multiple("hf_lcl.training.learned", CLASSIFIER_SHARE=10, WEIGHTING_SHARE=10):
            return self.results(self.trainer("learned", batch=12 // self.processes, **settings))

    def results(self, trainer: ContrastiveTrainer) -> dict[str, torch.Tensor]:
        """Weights, losses, metrics and predictions of a training."""
        trainer.train()
        trainer.save_model()
        metrics = trainer.evaluate()
        # Mean losses depend on the rows that fill up the last batch of several processes; these metrics do not.
        measured = {key: value for key, value in metrics.items() if key.endswith(("accuracy", "f1", "precision"))}
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        predictions = trainer.predict(self.splits["validation"]).predictions
        return {
            **{key: parameter.detach() for key, parameter in trainer.model.named_parameters()},
            **{key: torch.tensor(value) for key, value in measured.items()},
            "losses": torch.tensor(losses),
            "predictions": torch.from_numpy(predictions),
            "steps": torch.tensor(trainer.state.global_step),
        }

    def start(self) -> dict[str, torch.Tensor]:
        """The results of the start, before the first step."""
        trainer = self.trainer("start", batch=12 // self.processes, **RUN)
        trainer.distill_mean()
        trainer.fit_classifier()
        return {
            **{key: parameter.detach() for key, parameter in trainer.model.named_parameters()},
            "predictions": torch.from_numpy(trainer.predict(self.splits["validation"]).predictions),
        }

    def resume(self) -> dict[str, torch.Tensor]:
        """The largest difference between the weights of a resumed and of an uninterrupted run."""
        settings = RUN | {"sampler": "auto", "save_strategy": "steps", "save_steps": 2}
        whole = self.trainer("whole", batch=4, **settings)
        whole.train()
        resumed = self.trainer("resumed", batch=4, **settings)
        resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
        pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
        return {"difference": torch.tensor(max((mine - its).abs().max().item() for mine, its in pairs))}

    def gather(self) -> list[dict[str, Any]]:
        """
        The candidates of each process, and the gradient of its rows, where the loss of process r is r + 1 times a sum;
        also the candidates' labels for indicator rows.
        """
        rank, shares = dist.get_rank(), SHARES[self.processes]
        start = sum(shares[:rank])
        numbers = torch.arange(start, start + shares[rank])
        rows = numbers.double().unsqueeze(1).requires_grad_()
        candidates = gather_candidates(rows, labels=10 * numbers, is_name=numbers % 2 == 1)
        ((rank + 1) * torch.arange(1.0, 13).unsqueeze(1) * candidates.embeddings).sum().backward()
        indicators = gather_candidates(rows, labels=numbers.unsqueeze(1) >> torch.arange(4) & 1).labels
        found = {**vars(candidates), "gradient": rows.grad, "indicators": indicators}
        everybodys: list[Any] = [None] * self.processes
        dist.all_gather_object(everybodys, {k: v.tolist() if torch.is_tensor(v) else v for k, v in found.items()})
        return everybodys

    def train_sharded(self, name: str, resume_from_checkpoint: str | None = None) -> str:
        """The run with sharded weights; returns its folder."""
        settings = RUN | {"save_strategy": "steps", "save_steps": 4}
        trainer = self.trainer(name, batch=12 // self.processes, **settings)
        shard(trainer)
        trainer.train(resume_from_checkpoint=resume_from_checkpoint)
        trainer.save_model()
        return trainer.args.output_dir


def counted_allreduce(synchronisations: list[bool], bucket: GradBucket) -> Future[torch.Tensor]:
    """The default all-reduce of DistributedDataParallel, which also records each synchronisation."""
    if bucket.is_last():
        synchronisations.append(True)
    return default_hooks.allreduce_hook(torch.distributed.group.WORLD, bucket)


def shard(trainer: ContrastiveTrainer) -> None:
    """Shards the weights as FSDP2 does; accelerate supports this by settings only on GPUs."""
    PartialState().distributed_type = DistributedType.FSDP
    trainer.accelerator.state.distributed_type = DistributedType.FSDP
    trainer.accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["BertLayer"],
        state_dict_type="FULL_STATE_DICT",
        cpu_ram_efficient_loading=False,
    )
    trainer.is_fsdp_enabled = True


def main(rank: int, folder: Path, port: int) -> None:
    """Runs one of three processes, with the environment that torchrun would set."""
    of_torchrun = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 3, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in of_torchrun.items()}
    process = Process(folder)
    results: dict[str, Any] = {name: process.gradients(name, settings) for name, settings in STEPS.items()}
    results |= {
        name: getattr(process, name)() for name in ("gather", "run", "several_run", "learned", "start", "resume")
    }
    sharded = process.train_sharded("sharded")
    process.train_sharded("sharded-resumed", resume_from_checkpoint=f"{sharded}/checkpoint-4")
    if rank == 0:
        torch.save(results, process.folder / "results.pt")
    dist.destroy_process_group()
