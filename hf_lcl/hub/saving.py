"""What a trainer leaves for others: the standard classifier, its tokenizer and its card."""

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets import Dataset
from torch import Tensor
from transformers import Trainer

from ..evaluation.ledger import fingerprint
from ..files import naming_disk_faults, share_weights, write_json
from ..model.modeling import LCLForSequenceClassification
from ..training.checkpoints import STATE
from .card import CardFacts, write_card
from .card_facts import describe_hardware, evaluation_curve, package_versions, training_settings
from .export import save_adapter, save_sequence_classifier


class SavingTrainer(Trainer):
    """`transformers.Trainer` that saves the classifier inside an [`LCLForSequenceClassification`], and its card."""

    @property
    def _unwrapped(self) -> LCLForSequenceClassification:
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    @property
    def _saves_adapter(self) -> bool:
        return self._unwrapped.adapted_classifier is not None and not self.args.merge_adapter

    @property
    def _is_sharded(self) -> bool:
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def _gathered_weights(self) -> dict[str, Tensor] | None:
        """The whole weights where processes hold shards of them (FSDP, ZeRO); every process takes part."""
        return self.accelerator.get_state_dict(self.model_wrapped) if self._is_sharded else None

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # Writes the arguments beside a checkpoint; there is no public hook that could keep the token from them.
        token, self.args.hub_token = self.args.hub_token, None
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.args.hub_token = token
        share_weights(output_dir or self.args.output_dir)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        # There is no public hook around all that a checkpoint consists of.
        with naming_disk_faults(self.args.output_dir):
            super()._save_checkpoint(*args, **kwargs)

    def save_state(self) -> None:
        """Writes `trainer_state.json`, in which the log stands and which run it was."""
        if self.is_world_process_zero():
            write_json(Path(self.args.output_dir) / STATE, asdict(self.state))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """
        Writes the standard sequence classifier, its tokenizer and its card: what plain transformers loads. With an
        adapter and `merge_adapter=False`, the adapter and its classifier head: what plain peft loads.

        Checkpoints hold the whole wrapper instead, weighting network included, so that a run can be resumed.

        Args:
            output_dir (`str`, *optional*): the folder; defaults to `args.output_dir`.
        """
        # The Trainer names a folder in an internal call for checkpoints only; for a push it leaves the name out.
        if _internal_call and output_dir is not None:
            return super().save_model(output_dir, _internal_call)
        output_dir = self.args.output_dir if output_dir is None else output_dir
        state_dict = self._gathered_weights()
        if self.args.should_save:
            model, tokenizer = self._unwrapped, self.processing_class
            if self._saves_adapter:
                save_adapter(model, output_dir, tokenizer=tokenizer)
            else:
                save_sequence_classifier(model, output_dir, tokenizer=tokenizer, state_dict=state_dict)
            write_card(self._card_facts(), output_dir)
            if Path(output_dir) == Path(self.args.output_dir):
                self.save_state()  # which run the model comes from

    @property
    def _hub_name(self) -> str:
        return self.hub_model_id or self.args.hub_model_id or Path(self.args.output_dir).absolute().name

    def create_model_card(
        self,
        language: str | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
        **facts: Any,
    ) -> None:
        """
        Writes `README.md` into `args.output_dir`. The arguments are those of `transformers.Trainer` (`dataset_tags` is
        the id of the data set on the Hub, `dataset` its name), and any other field of [`CardFacts`].
        """
        if not self.is_world_process_zero():
            return
        known = self._card_facts(
            language=language,
            license=license,
            tags=[*([tags] if isinstance(tags, str) else (tags or [])), *(self._unwrapped.model_tags or [])],
            model_name=model_name,
            base_model=finetuned_from,
            dataset=dataset_tags[0] if isinstance(dataset_tags, list) else dataset_tags,
            dataset_title=", ".join(dataset) if isinstance(dataset, list) else dataset,
            **facts,
        )
        write_card(known, self.args.output_dir)

    @property
    def _splits(self) -> dict[str, Any]:
        splits = {"train": self.train_dataset, "validation": self.eval_dataset}
        # Neither streams nor several validation sets have a number of rows.
        return {name: data for name, data in splits.items() if hasattr(data, "__len__") and not isinstance(data, dict)}

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {
            name: fingerprint(split, ("input_ids", "labels"))
            for name, split in self._splits.items()
            if isinstance(split, Dataset) and {"input_ids", "labels"} <= set(split.column_names)
        }

    def _card_facts(self, **known: Any) -> CardFacts:
        config, args, log = self._unwrapped.config, self.args, self.state.log_history
        evaluations = [line for line in log if "eval_loss" in line]
        metrics = {
            name: evaluations[-1][f"eval_{name}"]
            for name in ("accuracy", "macro_f1", "weighted_f1")
            if evaluations and f"eval_{name}" in evaluations[-1]
        }
        start = dict.fromkeys(config.start or (), True)  # by default the arguments do not tell
        facts = {
            "model_name": self._hub_name,
            "labels": [config.id2label[index] for index in range(config.num_labels)],
            "objective": args.objective,
            "settings": training_settings(args) | start,
            "metrics": metrics,
            "split": "validation" if metrics else None,
            "rows": len(self._splits["validation"]) if metrics and "validation" in self._splits else None,
            "seeds": [args.seed],
            "splits": {name: len(split) for name, split in self._splits.items()},
            "fingerprints": self._fingerprints,
            "curve": evaluation_curve(log),
            "best_step": self.state.best_global_step if args.load_best_model_at_end else None,
            "training_seconds": next((line["train_runtime"] for line in log[::-1] if "train_runtime" in line), None),
            "hardware": describe_hardware(),
            "versions": package_versions(self._saves_adapter),
            "adapter": self._saves_adapter,
            # Set when a model that transformers does not know is saved with its code, or was loaded from such code.
            "remote_code": bool(getattr(config.text_config, "auto_map", None)),
            "base_model": config._name_or_path or None,
        }
        facts |= {name: value for name, value in known.items() if value}
        # A folder of this machine says nothing to a reader, and is nobody's business.
        folders = [name for name in ("base_model", "dataset") if facts.get(name) and Path(facts[name]).exists()]
        return CardFacts(**facts | dict.fromkeys(folders))
