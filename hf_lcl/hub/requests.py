"""Requests to the Hub: commits that are retried without being lost or made twice, and one-line errors."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, get_token

# HTTPError is the base class of all request faults, whichever HTTP library the client uses.
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)
from transformers.utils import logging

from .card_merging import ON_HUB, card_to_publish, parse_card
from .contents import CARD, Files, check_secrets, is_weights, read_text


WAITS_SECONDS = (1.0, 2.0, 4.0)  # before the second, third and fourth attempt
MAX_WAIT_SECONDS = 60.0  # the longest Retry-After that is obeyed
# Besides 5xx. 409 and 412: the parent commit is no longer the latest one. Either the answer to our commit was lost, or
# somebody else made a commit.
TRANSIENT_STATUS = (408, 409, 412, 429)

logger = logging.get_logger(__name__)

Result = TypeVar("Result")


class PushError(OSError):
    """
    Publishing failed. The message is one line: what failed, why, and how to try again.

    Args:
        message (`str`): that line.
        is_transient (`bool`, *optional*, defaults to `False`): whether a later attempt may succeed (no network, the
            Hub is down), unlike after a wrong token.
    """

    def __init__(self, message: str, is_transient: bool = False):
        super().__init__(message)
        self.is_transient = is_transient


def create_repo(repo_id: str, *, private: bool | None = None, token: str | None = None, retry_hint: str) -> str:
    """
    Creates a model repository if it does not exist, and returns its full name; see [`push_folder`]. `"NAME"` stands
    for `"USER/NAME"` with the user of the token. `retry_hint` (how to try again) is the end of error messages.

    Raises:
        PushError: if the Hub refuses, or a transient fault persists for four attempts.
    """
    api = HfApi(token=token)
    with _push_errors(repo_id, token, retry_hint):
        return _retry(lambda: api.create_repo(repo_id, private=private, exist_ok=True)).repo_id


def check_files(files: Files, token: str | None = None) -> str:
    """The text of the card. Raises a `ValueError` if a file contains a token, or the card's metadata are not YAML."""
    check_secrets(files, token or get_token())
    card = read_text(files[CARD]) if CARD in files else ""
    if card.startswith("---"):
        parse_card(card)
    return card


def commit_files(
    files: Files,
    repo_id: str,
    *,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str,
    commit_description: str | None = None,
    create_pr: bool = False,
    replace_card: bool = True,
    retry_hint: str,
) -> CommitInfo:
    """
    Makes one commit of all files. Files that the Hub already has are not sent.

    Weights of an earlier commit (shards, an adapter) that the new files do not replace are deleted, because they would
    be loaded instead. Manual changes to a card on the Hub are kept, see [`card_merging.card_to_publish`].

    The repository must exist. `replace_card` says whether an existing card may be replaced; for the others see
    [`push_model`] and [`create_repo`].

    Raises:
        ValueError: if a file contains a token, or the metadata of the card cannot be read.
        PushError: if the Hub refuses, or a transient fault persists for four attempts.
    """
    card = check_files(files, token)
    api = HfApi(token=token)

    def commit() -> CommitInfo:
        head = _head(api, repo_id, revision)
        existing = {file.rfilename for file in head.siblings or []}
        added = dict(files)
        if CARD in files and CARD in existing:
            del added[CARD]
            if replace_card:
                card_on_hub = read_text(Path(api.hf_hub_download(repo_id, CARD, revision=head.sha)), ON_HUB)
                added[CARD] = card_to_publish(card_on_hub, card).encode()
        folders = {name.rpartition("/")[0] for name in files}
        stale = [name for name in existing - set(files) if name.rpartition("/")[0] in folders and is_weights(name)]
        return api.create_commit(
            repo_id,
            [*starmap(CommitOperationAdd, added.items()), *map(CommitOperationDelete, sorted(stale))],
            commit_message=commit_message,
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
            # If the answer to a first attempt was lost, the Hub refuses the second one.
            parent_commit=head.sha,
        )

    with _push_errors(repo_id, token, retry_hint):
        # A second attempt would open a second pull request.
        return commit() if create_pr else _retry(commit)


def _head(api: HfApi, repo_id: str, revision: str | None) -> ModelInfo:
    try:
        return api.model_info(repo_id, revision=revision)
    except RevisionNotFoundError:
        if revision is None:
            raise
        api.create_branch(repo_id, branch=revision, exist_ok=True)
        return api.model_info(repo_id, revision=revision)


def _retry(request: Callable[[], Result]) -> Result:
    """Repeats a request while its fault is transient. Repeating it must do no harm."""
    for wait in WAITS_SECONDS:
        try:
            return request()
        except (HTTPError, OSError) as error:
            retry_after = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
            wait = max(wait, int(retry_after) if retry_after.isdigit() else 0)
            if not _is_transient(error) or isinstance(error, OfflineModeIsEnabled) or wait > MAX_WAIT_SECONDS:
                raise
            logger.info(f"{_reason(error, None)}: trying again.")
            time.sleep(wait)
    return request()


def _is_transient(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT_STATUS or error.response.status_code >= 500
    # The client raises LocalEntryNotFoundError if it could not find out whether a file exists.
    return isinstance(error, (HTTPError, ConnectionError, TimeoutError, LocalEntryNotFoundError))


@contextmanager
def _push_errors(repo_id: str, token: str | None, retry_hint: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        message = f"Publishing to {repo_id} failed: {_reason(error, token or get_token())}. {retry_hint}"
        raise PushError(" ".join(message.split()), _is_transient(error)) from error


def _reason(error: Exception, token: str | None) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on (HF_HUB_OFFLINE)"
    if isinstance(error, HfHubHTTPError):
        details = f" ({error.server_message})" if error.server_message else ""
        match error.response.status_code:
            case 401 if token is None:
                return "there is no token: run `hf auth login`, or set HF_TOKEN"
            case 401:
                return f"the Hub does not accept the token{details}: run `hf auth login`, or set HF_TOKEN"
            case 403:
                return f"the token may not write there{details}: use one with write permission"
            case 429:
                return f"the Hub received too many requests, 429{details}"
            case status:
                return f"the Hub answered {status}{details}"
    text = str(error).rstrip(".")
    if isinstance(error, ValueError):
        return text
    # The client wraps an error in the upload of a large file in a RuntimeError.
    if error.__cause__ is not None and isinstance(error, RuntimeError):
        return f"{text}: {type(error.__cause__).__name__}"
    return f"no answer, {type(error).__name__}: {text}"
