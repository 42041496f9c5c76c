"""One commit to the Hub that a fault can neither lose nor double, and errors in one line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, get_token

# HTTPError: the base class of all faults of a request, from whichever HTTP library the client is built on.
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)
from transformers.utils import logging

from .card_merging import card_to_publish, parse_card
from .contents import CARD, check_secrets, is_weights, read_text


WAITS = (1.0, 2.0, 4.0)  # seconds between the attempts at one request
LONGEST_WAIT = 60.0  # that the Hub may ask for
# Timeouts, too many requests, and a commit on top of another than the latest one: the answer to it had been lost, or
# somebody else made one meanwhile.
PASSING = (408, 409, 412, 429)

logger = logging.get_logger(__name__)

Answer = TypeVar("Answer")


class PushError(OSError):
    """
    Publishing failed. The message is one line: what failed, why, and how to try again.

    Args:
        message (`str`): that line.
        passing (`bool`, *optional*, defaults to `False`): whether the fault may pass by itself (no network, a Hub
            that is down), unlike a wrong token.
    """

    def __init__(self, message: str, passing: bool = False):
        super().__init__(message)
        self.passing = passing


def create_repo(repo_id: str, *, private: bool | None = None, token: str | None = None, again: str) -> str:
    """
    Creates a model repository where there is none.

    Args:
        repo_id (`str`): `"USER/NAME"`, or `"NAME"` for the user of the token.
        private (`bool`, *optional*): whether a new one is private; defaults to the account's choice.
        token (`str`, *optional*): defaults to the one of `hf auth login` or `HF_TOKEN`.
        again (`str`): how to try again; ends the message of a [`PushError`].

    Returns:
        `str`: `"USER/NAME"`.

    Raises:
        PushError: if the Hub refuses, or a fault has not passed after four attempts.
    """
    api = HfApi(token=token)
    with _one_line(repo_id, token, again):
        return _persist(lambda: api.create_repo(repo_id, private=private, exist_ok=True)).repo_id


def commit_files(
    files: dict[str, Path | bytes],
    repo_id: str,
    *,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str,
    commit_description: str | None = None,
    create_pr: bool = False,
    replaces_card: bool = True,
    again: str,
) -> CommitInfo:
    """
    Makes one commit of all files; of those that the Hub has already, nothing is sent.

    Weights that an earlier commit left beside the new ones (shards, an adapter) are removed, since they would be
    loaded instead. What was written by hand into a card on the Hub stays, see [`card_merging.card_to_publish`].

    Args:
        files (`dict[str, Path | bytes]`): by their names on the Hub.
        repo_id (`str`): `"USER/NAME"`, which exists.
        token (`str`, *optional*): defaults to the one of `hf auth login` or `HF_TOKEN`.
        revision (`str`, *optional*): the branch, created where it does not exist; defaults to `main`.
        commit_message (`str`): first line of the commit.
        commit_description (`str`, *optional*): its other lines.
        create_pr (`bool`, *optional*, defaults to `False`): whether to open a pull request instead.
        replaces_card (`bool`, *optional*, defaults to `True`): whether a card that is there may be replaced.
        again (`str`): how to try again; ends the message of a [`PushError`].

    Returns:
        `huggingface_hub.CommitInfo`: the commit, or the latest one where nothing was new.

    Raises:
        ValueError: if a file contains a token, or the metadata of the card cannot be read.
        PushError: if the Hub refuses, or a fault has not passed after four attempts.
    """
    check_secrets(files, token or get_token())
    if CARD in files and (card := _text(files[CARD])).startswith("---"):
        parse_card(card)
    api = HfApi(token=token)

    def commit() -> CommitInfo:
        head = _head(api, repo_id, revision)
        there = {file.rfilename for file in head.siblings or []}
        added: dict[str, Path | bytes] = dict(files)
        if CARD in files and CARD in there:
            del added[CARD]
            if replaces_card:
                standing = Path(api.hf_hub_download(repo_id, CARD, revision=head.sha))
                added[CARD] = card_to_publish(read_text(standing, f"{CARD} on the Hub"), _text(files[CARD])).encode()
        folders = {name.rpartition("/")[0] for name in files}
        left = [name for name in there - set(files) if name.rpartition("/")[0] in folders and is_weights(name)]
        return api.create_commit(
            repo_id,
            [*starmap(CommitOperationAdd, added.items()), *map(CommitOperationDelete, sorted(left))],
            commit_message=commit_message,
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
            # A second commit for a first one whose answer was lost is refused.
            parent_commit=head.sha,
        )

    with _one_line(repo_id, token, again):
        # A second attempt would open a second pull request.
        return commit() if create_pr else _persist(commit)


def _head(api: HfApi, repo_id: str, revision: str | None) -> ModelInfo:
    try:
        return api.model_info(repo_id, revision=revision)
    except RevisionNotFoundError:
        if revision is None:
            raise
        api.create_branch(repo_id, branch=revision, exist_ok=True)
        return api.model_info(repo_id, revision=revision)


def _text(file: Path | bytes) -> str:
    return file.decode() if isinstance(file, bytes) else read_text(file)


def _persist(request: Callable[[], Answer]) -> Answer:
    """Repeats a request, which must do no harm when it is repeated, while its fault may pass."""
    for wait in WAITS:
        try:
            return request()
        except (HTTPError, OSError) as error:
            asked = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
            wait = max(wait, int(asked) if asked.isdigit() else 0)
            if not _may_pass(error) or isinstance(error, OfflineModeIsEnabled) or wait > LONGEST_WAIT:
                raise
            logger.info(f"{_reason(error, None)}: trying again.")
            time.sleep(wait)
    return request()


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING or error.response.status_code >= 500
    # A file that could not be looked for counts as one that is not there, in the client's own classes.
    return isinstance(error, (HTTPError, ConnectionError, TimeoutError, LocalEntryNotFoundError))


@contextmanager
def _one_line(repo_id: str, token: str | None, again: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        reason = _reason(error, token or get_token())
        message = f"Publishing to {repo_id} failed: {reason}. {again}"
        raise PushError(" ".join(message.split()), passing=_may_pass(error)) from error


def _reason(error: Exception, token: str | None) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on (HF_HUB_OFFLINE)"
    if isinstance(error, HfHubHTTPError):
        said = f" ({error.server_message})" if error.server_message else ""
        match error.response.status_code:
            case 401 if token is None:
                return "there is no token: run `hf auth login`, or set HF_TOKEN"
            case 401:
                return f"the Hub does not accept the token{said}: run `hf auth login`, or set HF_TOKEN"
            case 403:
                return f"the token may not write there{said}: use one with write permission"
            case 429:
                return f"the Hub asks to come back later, 429{said}"
            case status:
                return f"the Hub answered {status}{said}"
    if isinstance(error, ValueError):
        return str(error).rstrip(".")
    # The client wraps what went wrong while a large file was sent.
    if error.__cause__ is not None and isinstance(error, RuntimeError):
        return f"{str(error).rstrip('.')}: {type(error.__cause__).__name__}"
    return f"no answer, {type(error).__name__}: {str(error).rstrip('.')}"
