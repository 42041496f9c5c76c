"""Publishing during a training run, which continues when the Hub fails."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitInfo, HfApi
from torch import Tensor
from transformers import TrainerState, TrainingArguments
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import PushInProgress, logging

from ..model.modeling import LCLForSequenceClassification
from .contents import published_files, training_state_files
from .push import retry_hint
from .requests import PushError, commit_files, create_repo


logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class Push:
    """One push. Fields that are `None` are taken from the training arguments."""

    commit_message: str = "End of training"
    token: str | None = None
    revision: str | None = None
    private: bool | None = None
    folder: str | None = None  # by default `args.output_dir`
    training_state: TemporaryDirectory | None = None  # the wrapper, published too and then deleted


def wrapper_folder(model: LCLForSequenceClassification, state_dict: dict[str, Tensor] | None) -> TemporaryDirectory:
    """A training model as a folder, for [`Push`]."""
    folder = TemporaryDirectory()
    model.save_pretrained(folder.name, state_dict=state_dict)
    return folder


class Publisher:
    """
    Publishes the classifier, its tokenizer and its card from `args.output_dir`, never an optimizer, log, checkpoint or
    token.

    The model is saved before the first request to the Hub. Once training has begun, an error of the Hub does not stop
    it: one line is logged with the error and the command that tries again. Methods that users call raise a
    [`PushError`] instead.
    """

    def __init__(self, args: TrainingArguments):
        self.args = args  # `output_dir` and the fields that begin with `hub_` are read at every call
        self.repo_id: str | None = None  # the full name, once the Hub has returned it
        self.in_progress: PushInProgress | None = None  # the last push in the background
        self.queue = HfApi()  # its single thread runs the background pushes one after the other

    @property
    def name(self) -> str:
        """The name of the repository: the full one once the Hub has returned it."""
        return self.repo_id or self.args.hub_model_id or Path(str(self.args.output_dir)).absolute().name

    def prepare(self, token: str | None = None, private: bool | None = None) -> None:
        """Creates the repository before a training. A transient fault is logged, any other is a [`PushError`]."""
        try:
            self._create_repo(Push(token=token, private=private), "The next push tries again.")
        except PushError as error:
            if not error.is_transient:
                raise
            logger.warning(f"{error} Training goes on.")

    def push(self, push: Push, write_card: Callable[[], None], blocking: bool) -> CommitInfo | Future:
        """Writes the card, with the full name if the Hub returns it, and publishes, now or in the background."""
        try:
            if self.repo_id is None:
                self._create_repo(push)
        finally:
            write_card()  # even after an error, for the next attempt
        return self.publish(push) if blocking else self.publish_later(push)

    def publish(self, push: Push) -> CommitInfo:
        """Publishes a folder, and first creates the repository if needed; raises a [`PushError`] if the Hub fails."""
        with push.training_state or nullcontext():
            if self.repo_id is None:
                self._create_repo(push)
            files = published_files(push.folder or str(self.args.output_dir))
            if push.training_state is not None:
                files |= training_state_files(push.training_state.name)
            return commit_files(
                files,
                self.name,
                token=push.token or self.args.hub_token,
                revision=push.revision or self.args.hub_revision,
                commit_message=push.commit_message,
                retry_hint=self._retry_hint(push),
            )

    def publish_later(self, push: Push) -> Future:
        """
        Publishes in the background, after earlier pushes, with the token of now: `args` holds none while a checkpoint
        is saved. An error is logged at once, because the caller may never read the future.
        """
        push = replace(push, token=push.token or self.args.hub_token)

        def publish_and_log() -> CommitInfo:
            try:
                return self.publish(push)
            except Exception as error:
                logger.error(str(error))
                raise

        job = self.queue.run_as_future(publish_and_log)
        self.in_progress = PushInProgress([job])  # type: ignore[arg-type] # its annotation is wrong: it takes a list
        return job

    def is_due(self) -> bool:
        """Whether to publish a checkpoint, by `hub_strategy` and by whether an earlier push is still in progress."""
        strategy = self.args.hub_strategy
        waits = self.args.hub_always_push or strategy == HubStrategy.ALL_CHECKPOINTS
        return strategy != HubStrategy.END and (waits or self.in_progress is None or self.in_progress.is_done())

    def push_of(self, state: TrainerState) -> Push:
        """The push of a checkpoint, with the epoch or step in its commit message."""
        by_epoch = self.args.save_strategy == SaveStrategy.EPOCH
        progress = f"epoch {int(state.epoch or 0)}" if by_epoch else f"step {state.global_step}"
        return Push(f"Training in progress, {progress}")

    def _create_repo(self, push: Push, hint: str | None = None) -> None:
        self.repo_id = create_repo(
            self.name,
            private=self._is_private(push),
            token=push.token or self.args.hub_token,
            retry_hint=hint or self._retry_hint(push),
        )

    def _retry_hint(self, push: Push) -> str:
        folder, revision = push.folder or str(self.args.output_dir), push.revision or self.args.hub_revision
        return retry_hint(folder, self.name, self._is_private(push), revision, push.training_state is not None)

    def _is_private(self, push: Push) -> bool | None:
        return self.args.hub_private_repo if push.private is None else push.private
