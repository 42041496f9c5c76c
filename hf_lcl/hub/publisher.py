"""Publishing during a training run, which continues when the Hub fails."""

from concurrent.futures import Future
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitInfo, HfApi
from transformers import TrainingArguments
from transformers.utils import PushInProgress, logging

from .contents import published_files, training_state_files
from .push import retry_hint
from .requests import PushError, commit_files, create_repo


logger = logging.get_logger(__name__)


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

    def publish(
        self,
        commit_message: str,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        folder: str | None = None,
        training_state: TemporaryDirectory | None = None,
    ) -> CommitInfo:
        """
        Publishes `folder` (by default `args.output_dir`), and the wrapper in `training_state`, which is then removed.

        Raises:
            PushError: if the Hub refuses or cannot be reached.
        """
        folder = folder or self.folder
        hint = self.retry_hint(private, revision, training_state is not None, folder)
        with training_state or nullcontext():
            if self.repo_id is None:
                self.create_repo(token, private, hint)
            files = published_files(folder)
            if training_state is not None:
                files |= training_state_files(training_state.name)
            return commit_files(
                files,
                self.name,
                token=token or self.args.hub_token,
                revision=revision or self.args.hub_revision,
                commit_message=commit_message,
                retry_hint=hint,
            )

    def in_background(self, push: partial[CommitInfo]) -> tuple[Future, PushInProgress]:
        """Runs `push` after those before it. A fault is logged at once, because nobody may look at the future."""

        def push_and_log() -> CommitInfo:
            try:
                return push()
            except Exception as error:
                logger.error(str(error))
                raise

        job = self.queue.run_as_future(push_and_log)
        return job, PushInProgress([job])  # type: ignore[arg-type] # it takes a list, whatever its annotation says

    def retry_hint(
        self, private: bool | None, revision: str | None, include_training_state: bool, folder: str | None = None
    ) -> str:
        """The command that pushes the folder again."""
        private, revision = self._is_private(private), revision or self.args.hub_revision
        return retry_hint(folder or self.folder, self.name, private, revision, include_training_state)

    def _is_private(self, private: bool | None) -> bool | None:
        return self.args.hub_private_repo if private is None else private
