"""A Trainer that writes and publishes a standard sequence classifier in place of the model that it trains."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Trainer
from transformers.trainer_utils import HubStrategy

from ..model.modeling import LCLForSequenceClassification
from ..support.checkpoints import STATE
from ..support.files import naming_disk_faults, share_weights, write_json
from ..training_args import ContrastiveTrainingArguments
from .card import CardFacts, write_card
from .export import save_adapter, save_sequence_classifier, saves_adapter
from .publisher import Publisher, Push, wrapper_folder
from .run_facts import run_facts, trainer_facts


class ExportingTrainer(Trainer):
    """
    `transformers.Trainer` for an [`LCLForSequenceClassification`] whose folder and repository on the Hub hold the
    classifier inside it. Checkpoints hold the whole wrapper.

    The classifier, its tokenizer and its card are pushed, never a checkpoint. `hub_strategy` sets when: with
    `save_model()` and `push_to_hub()` (`"end"`); with each checkpoint, which is skipped while an earlier push runs if
    `hub_always_push=False` (`"every_save"`, `"checkpoint"`); or with every checkpoint (`"all_checkpoints"`).
    """

    args: ContrastiveTrainingArguments
    model: LCLForSequenceClassification
    publisher: Publisher
    # The Trainer's annotations of these attributes are incomplete.
    hub_model_id: Any
    processing_class: Any
    push_in_progress: Any = property(lambda self: self.publisher.in_progress)

    @property
    def unwrapped(self) -> LCLForSequenceClassification:
        """The model without what accelerate or `torch.compile` put around it; `None` after a trial of a search."""
        if self.model is None or isinstance(self.model, LCLForSequenceClassification):  # else unwrapping is slow
            return self.model
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    @property
    def _is_sharded(self) -> bool:
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def _gathered_weights(self) -> dict[str, Tensor] | None:
        """The whole weights if processes hold shards of them (FSDP, ZeRO); every process has to call it."""
        return self.accelerator.get_state_dict(self.model_wrapped) if self._is_sharded else None

    # Saving

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        # There is no public hook around the whole checkpoint.
        with naming_disk_faults(self.args.output_dir):
            super()._save_checkpoint(*args, **kwargs)

    def save_state(self) -> None:
        """Writes `trainer_state.json`, which holds the log and the mark of the run."""
        if self.is_world_process_zero():
            write_json(Path(self.args.output_dir) / STATE, asdict(self.state))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """
        Writes the standard sequence classifier, its tokenizer and its card: what plain transformers loads. With an
        adapter and `merge_adapter=False`, the adapter and its classifier head: what plain peft loads. Checkpoints hold
        the whole wrapper instead, weighting network included, so that a run can be resumed.

        With `push_to_hub=True` the folder (by default `args.output_dir`) is published too. A fault of the Hub is
        logged, not raised.
        """
        if _internal_call and output_dir is not None:  # a checkpoint; for a push, the Trainer passes no folder
            return self._save_for_resuming(output_dir)
        self._finish_current_push()  # which still reads the files
        output_dir = self.args.output_dir if output_dir is None else output_dir
        state_dict, model = self._gathered_weights(), self.unwrapped
        if self.args.should_save:
            if saves_adapter(model, self.args):
                save_adapter(model, output_dir, tokenizer=self.processing_class)
            else:
                save_sequence_classifier(model, output_dir, tokenizer=self.processing_class, state_dict=state_dict)
            write_card(self._card_facts(), output_dir)
            if Path(output_dir) == Path(self.args.output_dir):
                self.save_state()  # marks the run that the model comes from
        if self.args.push_to_hub and not _internal_call and self.is_world_process_zero():
            self.callback_handler.on_push_begin(self.args, self.state, self.control)
            self.publisher.publish_later(Push("Model save", folder=str(output_dir)))
            self._finish_current_push()

    def _save_for_resuming(self, checkpoint: str) -> None:
        """Writes the wrapper into a checkpoint."""
        token, self.args.hub_token = self.args.hub_token, None  # must not be saved with the arguments
        try:
            super().save_model(checkpoint, _internal_call=True)
        finally:
            self.args.hub_token = token
        if self.args.should_save:
            share_weights(checkpoint)

    def create_model_card(self, *args: Any, **facts: Any) -> None:
        """
        Writes `README.md` into `args.output_dir`. The arguments are those of `transformers.Trainer` (`dataset_tags` is
        the id of the data set on the Hub, `dataset` its name), and any other field of [`CardFacts`].
        """
        if self.is_world_process_zero():
            write_card(self._card_facts(**trainer_facts(*args, **facts)), self.args.output_dir)

    def _card_facts(self, **known: Any) -> CardFacts:
        run = self.unwrapped, self.args, self.state, self.train_dataset, self.eval_dataset
        return run_facts(self.publisher.name, *run, **known)

    # Pushing

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Creates the repository; raises a [`PushError`] if the Hub refuses, and logs a transient fault."""
        if self._is_sharded and self.args.hub_strategy != HubStrategy.END:
            raise ValueError(
                "Pushing while training under FSDP or DeepSpeed is not supported: use hub_strategy='end'."
            )
        if self.is_world_process_zero():
            self.publisher.prepare(token, private)
            self.hub_model_id = self.publisher.repo_id

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        include_training_state: bool = False,
        **kwargs: Any,
    ) -> Any:
        """
        Saves the classifier, its tokenizer and its card in `args.output_dir`, and publishes only these.

        The arguments are those of `transformers.Trainer`; with `include_training_state=True` the training model is
        published too, weighting network included and without the optimizer, in the folder `training_state`.

        Returns:
            `CommitInfo`: the commit, or the latest one if nothing changed; a `Future` of it with `blocking=False`.

        Raises:
            PushError: if the Hub refuses or cannot be reached; `blocking=False` logs it and sets it on the `Future`.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        state_dict = self._gathered_weights() if include_training_state else None
        if not self.is_world_process_zero():
            return None
        training_state = wrapper_folder(self.unwrapped, state_dict) if include_training_state else None
        push = Push(commit_message or "End of training", token, revision, private, training_state=training_state)
        pushed = self.publisher.push(push, partial(self.create_model_card, **kwargs), blocking)
        self.hub_model_id = self.publisher.repo_id
        return pushed

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        # The Trainer's method publishes the checkpoint; there is no public hook to choose the files to push.
        if self.is_world_process_zero() and self.publisher.is_due():
            self.callback_handler.on_push_begin(self.args, self.state, self.control)
            self.save_model(_internal_call=True)
            self.publisher.publish_later(self.publisher.push_of(self.state))
