"""What publishes the folder that a training run writes, and what happens to the run when the Hub fails."""

from concurrent.futures import Future
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitInfo, HfApi
from transformers import TrainingArguments
from transformers.utils import PushInProgress, logging

from .contents import published_files, training_state_files
from .push import retry_line
from .requests import PushError, commit_files, create_repo


logger = logging.get_logger(__name__)


class Publisher:
    r"""
    Publishes the classifier, its tokenizer and its card: no optimizer, no logs, no checkpoint, no token.

    The model is on disk before the Hub is asked for anything, and a fault of the Hub never ends a training that has
    begun: it is logged in one line, with the command that tries again. What a user calls raises it, as a
    [`PushError`].

    Args:
        args (`TrainingArguments`): `output_dir` and the fields that begin with `hub_`, as they are at that moment.

    Example:

    ```python
    >>> from hf_lcl.hub.publisher import Publisher

    >>> publisher = Publisher(trainer.args)
    >>> publisher.publish("A commit")
    ```
    """

    def __init__(self, args: TrainingArguments):
        self.args = args
        self.repo_id: str | None = None  # once the Hub has told its full name

    @property
    def name(self) -> str:
        """Of the repository, as far as it is known."""
        return self.repo_id or self.args.hub_model_id or Path(self.args.output_dir).absolute().name

    @cached_property
    def queue(self) -> HfApi:
        """Whose one thread does what is pushed in the background, in turn."""
        return HfApi()

    def create_repo(self, token: str | None = None, private: bool | None = None, again: str | None = None) -> None:
        """
        Creates the repository.

        Args:
            token (`str`, *optional*): defaults to `hub_token`.
            private (`bool`, *optional*): defaults to `hub_private_repo`.
            again (`str`, *optional*): how to try again; if left out, a fault that may pass is logged and the next push
                tries again.

        Raises:
            PushError: if the Hub refuses.
        """
        try:
            self.repo_id = create_repo(
                self.name,
                private=self.args.hub_private_repo if private is None else private,
                token=token or self.args.hub_token,
                again=again or "The next push tries again.",
            )
        except PushError as error:
            if again is not None or not error.passing:
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
        Publishes a folder as it is now.

        Args:
            commit_message (`str`): first line of the commit.
            token (`str`, *optional*): defaults to `hub_token`.
            revision (`str`, *optional*): the branch; defaults to `hub_revision`.
            private (`bool`, *optional*): whether a new repository is private; defaults to `hub_private_repo`.
            folder (`str`, *optional*): defaults to `output_dir`.
            training_state (`TemporaryDirectory`, *optional*): the wrapper, which is published too and then removed.

        Raises:
            PushError: if the Hub refuses or cannot be reached.
        """
        folder = self.args.output_dir if folder is None else folder
        again = self.retry_line(folder, private, revision, training_state is not None)
        with training_state or nullcontext():
            if self.repo_id is None:
                self.create_repo(token, private, again)
            files: dict[str, Path | bytes] = {**published_files(folder)}
            if training_state is not None:
                files |= training_state_files(training_state.name)
            return commit_files(
                files,
                self.repo_id,
                token=token or self.args.hub_token,
                revision=revision or self.args.hub_revision,
                commit_message=commit_message,
                again=again,
            )

    def in_background(self, push: partial[CommitInfo]) -> tuple[Future, PushInProgress]:
        """Publishes after what is being published; a fault is logged at once, since nobody may ask the future."""

        def logged() -> CommitInfo:
            try:
                return push()
            except Exception as error:
                logger.error(str(error))
                raise

        job = self.queue.run_as_future(logged)
        return job, PushInProgress([job])

    def retry_line(
        self,
        folder: str | None = None,
        private: bool | None = None,
        revision: str | None = None,
        include_training_state: bool = False,
    ) -> str:
        """The command that pushes a folder again."""
        return retry_line(
            folder or self.args.output_dir,
            self.name,
            self.args.hub_private_repo if private is None else private,
            revision or self.args.hub_revision,
            include_training_state,
        )
