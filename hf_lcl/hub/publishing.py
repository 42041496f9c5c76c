"""When a trainer publishes the classifier that it saves, and what becomes of a training when the Hub fails."""

from concurrent.futures import Future
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitInfo, HfApi
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import PushInProgress, logging

from .contents import published_files, training_state_files
from .push import retry_line
from .requests import PushError, commit_files, create_repo
from .saving import SavingTrainer


logger = logging.get_logger(__name__)


class PublishingTrainer(SavingTrainer):
    r"""
    A trainer that publishes what it saves.

    What leaves the machine is the classifier, its tokenizer and its card: no optimizer, no logs, no checkpoint, no
    token. With `push_to_hub=True`, `hub_strategy` says when:

    - `"end"`: when `save_model()` or `push_to_hub()` is called.
    - `"every_save"`, `"checkpoint"`: with each checkpoint as well, in the background; left out while the push before
      it runs, unless `hub_always_push=True`.
    - `"all_checkpoints"`: with each checkpoint without exception; training waits for the push before it.

    Checkpoints themselves stay on this machine, whatever the strategy.

    The model is on disk before the Hub is asked for anything, and a fault of the Hub never ends a training that has
    begun: it is logged in one line, with the command that tries again. `push_to_hub()` raises it, as a
    [`PushError`]. The constructor raises it where it cannot pass by itself (a wrong token, no right to write).
    """

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """
        As [`SavingTrainer.save_model`]; with `push_to_hub=True` the folder is published too. A fault of the Hub is
        logged, not raised.

        Args:
            output_dir (`str`, *optional*): the folder; defaults to `args.output_dir`.
        """
        is_checkpoint = _internal_call and output_dir is not None
        if not is_checkpoint:
            self._finish_current_push()  # which still reads the files
        super().save_model(output_dir, _internal_call)
        if self.args.push_to_hub and not _internal_call and self.is_world_process_zero():
            self.callback_handler.on_push_begin(self.args, self.state, self.control)
            try:
                self._publish("Model save", folder=output_dir)
            except PushError as error:
                logger.error(str(error))

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """
        Creates the repository. A fault that may pass is logged, and the next push tries again.

        Args:
            token (`str`, *optional*): defaults to `args.hub_token`.
            private (`bool`, *optional*): defaults to `args.hub_private_repo`.

        Raises:
            ValueError: for a `hub_strategy` that pushes while training under FSDP or DeepSpeed.
            PushError: if the Hub refuses.
        """
        if self._is_sharded and self.args.hub_strategy != HubStrategy.END:
            raise ValueError(
                "Pushing while training under FSDP or DeepSpeed is not supported: use hub_strategy='end'."
            )
        if not self.is_world_process_zero():
            return
        self.push_in_progress = None
        again = "The next push tries again."
        try:
            self._create_repo(token, private, again)
        except PushError as error:
            if not error.passing:
                raise
            logger.warning(f"{error} Training goes on.")

    def push_to_hub(
        self,
        commit_message: str = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        include_training_state: bool = False,
        **kwargs: Any,
    ) -> CommitInfo | Future | None:
        """
        Saves the classifier, its tokenizer and its card in `args.output_dir`, and publishes these and nothing else.

        Args:
            commit_message (`str`, *optional*, defaults to `"End of training"`): first line of the commit.
            blocking (`bool`, *optional*, defaults to `True`): whether to wait for the Hub.
            token (`str`, *optional*): defaults to `args.hub_token`, then to that of `hf auth login` or `HF_TOKEN`.
            revision (`str`, *optional*): the branch; defaults to `args.hub_revision`.
            private (`bool`, *optional*): whether a new repository is private; defaults to `args.hub_private_repo`.
            include_training_state (`bool`, *optional*, defaults to `False`): whether to publish the training model
                too, weighting network included and without the optimizer, in the folder `training_state`.
            **kwargs: what `create_model_card` takes.

        Returns:
            `CommitInfo`, the commit or the latest one where nothing was new; a `Future` of it with `blocking=False`.

        Raises:
            PushError: if the Hub refuses or cannot be reached; with `blocking=False` it is logged, and in the future.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        training_state = self._save_training_state() if include_training_state else None
        if not self.is_world_process_zero():
            return None
        again = self._again(self.args.output_dir, private, revision, include_training_state)
        try:
            if self.hub_model_id is None:
                self._create_repo(token, private, again)
        finally:
            # With the full name where the Hub has told it; in any case before a second attempt.
            self.create_model_card(**kwargs)
        push = partial(self._publish, commit_message, token, revision, private, training_state=training_state)
        return push() if blocking else self._push_in_background(push)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        # The Trainer's own publishes the checkpoint; there is no public hook for what goes out with one.
        if self.args.hub_strategy == HubStrategy.END or not self.is_world_process_zero():
            return
        waits = self.args.hub_always_push or self.args.hub_strategy == HubStrategy.ALL_CHECKPOINTS
        if self.push_in_progress is not None and not self.push_in_progress.is_done() and not waits:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        by_epoch = self.args.save_strategy == SaveStrategy.EPOCH
        progress = f"epoch {int(self.state.epoch)}" if by_epoch else f"step {self.state.global_step}"
        self._push_in_background(partial(self._publish, f"Training in progress, {progress}"))

    @cached_property
    def _queue_of_pushes(self) -> HfApi:
        return HfApi()

    def _push_in_background(self, push: partial[CommitInfo]) -> Future:
        def told() -> CommitInfo:
            try:
                return push()
            except Exception as error:
                logger.error(str(error))  # now: nobody may ever ask the future
                raise

        job = self._queue_of_pushes.run_as_future(told)
        self.push_in_progress = PushInProgress([job])
        return job

    def _create_repo(self, token: str | None, private: bool | None, again: str) -> None:
        self.hub_model_id = create_repo(
            self._hub_name,
            private=self.args.hub_private_repo if private is None else private,
            token=token or self.args.hub_token,
            again=again,
        )

    def _publish(
        self,
        commit_message: str,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        folder: str | None = None,
        training_state: TemporaryDirectory | None = None,
    ) -> CommitInfo:
        folder = self.args.output_dir if folder is None else folder
        again = self._again(folder, private, revision, training_state is not None)
        if self.hub_model_id is None:
            self._create_repo(token, private, again)
        files: dict[str, Path | bytes] = {**published_files(folder)}
        with training_state or nullcontext():
            if training_state is not None:
                files |= training_state_files(training_state.name)
            return commit_files(
                files,
                self.hub_model_id,
                token=token or self.args.hub_token,
                revision=revision or self.args.hub_revision,
                commit_message=commit_message,
                again=again,
            )

    def _again(self, folder: str, private: bool | None, revision: str | None, include_training_state: bool) -> str:
        return retry_line(
            folder,
            self._hub_name,
            self.args.hub_private_repo if private is None else private,
            revision or self.args.hub_revision,
            include_training_state,
        )

    def _save_training_state(self) -> TemporaryDirectory | None:
        state_dict = self._gathered_weights()
        if not self.is_world_process_zero():
            return None
        folder = TemporaryDirectory()
        self._unwrapped.save_pretrained(folder.name, state_dict=state_dict)
        return folder
