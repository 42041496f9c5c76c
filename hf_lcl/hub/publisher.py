"""Publishing during a training run, which continues when the Hub fails."""

from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitInfo, HfApi
from transformers import TrainerState, TrainingArguments
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import PushInProgress, logging

from .contents import published_files, training_state_files
from .push import retry_hint
from .requests import PushError, commit_files, create_repo


logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class Push:
    """
    One push. What is left out is what the training arguments say.

    Args:
        commit_message (`str`): first line of the commit.
        token, revision, private: as in [`ContrastiveTrainer.push_to_hub`].
        folder (`str`, *optional*): what is published; defaults to `args.output_dir`.
        training_state (`TemporaryDirectory`, *optional*): the wrapper, which is published too.
    """

    commit_message: str
    token: str | None = None
    revision: str | None = None
    private: bool | None = None
    folder: str | None = None
    training_state: TemporaryDirectory | None = None


class Publisher:
    """
    Publishes the classifier, its tokenizer and its card from `args.output_dir`, never an optimizer, log, checkpoint or
    token. See [`ContrastiveTrainer.push_to_hub`] for the arguments of its methods.

    The model is saved before the Hub is asked for anything. Once training has begun, a fault of the Hub does not end
    it: the fault is logged in one line with the command that tries again. In methods that users call it is raised as a
    [`PushError`].

    Args:
        args (`TrainingArguments`): `output_dir` and the fields that begin with `hub_` are read at every call.
    """

    def __init__(self, args: TrainingArguments):
        self.args = args
        self.repo_id: str | None = None  # the full name, once the Hub has returned it

    @property
    def folder(self) -> str:
        """The folder that is published."""
        return str(self.args.output_dir)

    @property
    def name(self) -> str:
        """The name of the repository as far as it is known."""
        return self.repo_id or self.args.hub_model_id or Path(self.folder).absolute().name

    @cached_property
    def queue(self) -> HfApi:
        """Its single thread runs the pushes in the background, one after the other."""
        return HfApi()

    def create_repo(self, token: str | None = None, private: bool | None = None, hint: str | None = None) -> None:
        """
        Creates the repository.

        Without a `hint` (how to try again; ends the error message), a transient fault is logged, and the next push
        tries again.

        Raises:
            PushError: if the Hub refuses.
        """
        try:
            self.repo_id = create_repo(
                self.name,
                private=self._is_private(private),
                token=token or self.args.hub_token,
                retry_hint=hint or "The next push tries again.",
            )
        except PushError as error:
            if hint is not None or not error.is_transient:
                raise
            logger.warning(f"{error} Training goes on.")

    def create_repo_of(self, push: Push) -> None:
        """Creates the repository that `push` goes to, unless the Hub has returned its name; raises a [`PushError`]."""
        if self.repo_id is None:
            self.create_repo(push.token, push.private, self._retry_hint(push))

    def publish(self, push: Push) -> CommitInfo:
        """
        Publishes a folder, and the wrapper in `push.training_state`, which is then removed.

        Raises:
            PushError: if the Hub refuses or cannot be reached.
        """
        with push.training_state or nullcontext():
            self.create_repo_of(push)
            files = published_files(push.folder or self.folder)
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

    def publish_later(self, push: Push) -> tuple[Future, PushInProgress]:
        """
        Publishes in the background, after the pushes before. A fault is logged at once, because nobody may look at the
        future.
        """

        def publish_and_log() -> CommitInfo:
            try:
                return self.publish(push)
            except Exception as error:
                logger.error(str(error))
                raise

        job = self.queue.run_as_future(publish_and_log)
        return job, PushInProgress([job])  # type: ignore[arg-type] # it takes a list, whatever its annotation says

    def is_due(self, in_progress: PushInProgress | None) -> bool:
        """Whether a checkpoint is published, as `hub_strategy` says, while another push may be in progress."""
        strategy = self.args.hub_strategy
        waits = self.args.hub_always_push or strategy == HubStrategy.ALL_CHECKPOINTS
        return strategy != HubStrategy.END and (waits or in_progress is None or in_progress.is_done())

    def push_of(self, state: TrainerState) -> Push:
        """The push of a checkpoint, which says how far the training is."""
        by_epoch = self.args.save_strategy == SaveStrategy.EPOCH
        progress = f"epoch {int(state.epoch or 0)}" if by_epoch else f"step {state.global_step}"
        return Push(f"Training in progress, {progress}")

    def _retry_hint(self, push: Push) -> str:
        """The command that pushes the folder again."""
        return retry_hint(
            push.folder or self.folder,
            self.name,
            self._is_private(push.private),
            push.revision or self.args.hub_revision,
            push.training_state is not None,
        )

    def _is_private(self, private: bool | None) -> bool | None:
        return self.args.hub_private_repo if private is None else private
