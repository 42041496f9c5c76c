"""Ends a command with one line and an exit status, whatever stops it. Imports nothing heavy."""

import errno
import io
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import NoReturn


# If this environment variable is set, errors are shown with their traceback.
TRACEBACK_VARIABLE = "HF_LCL_TRACEBACK"
EXPECTED = (ValueError, TypeError, OSError, FloatingPointError, ImportError)
MAKE_ROOM = "Make room or raise the limit (quota, ulimit -f), or name another folder."
# The flags of the command that is running, as `parsing` knows them.
FLAGS = ContextVar[frozenset[str]]("FLAGS", default=frozenset())
NAME_ANOTHER = "Name another folder. Caches lie in $HF_HOME, which may be any folder that can be written."
REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), MAKE_ROOM)
REMEDIES |= dict.fromkeys((errno.EROFS, errno.EACCES), NAME_ANOTHER)


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, so that it ends a command as Ctrl-C does. Its message says what is on disk."""


class UsageError(ValueError):
    """Raised for an invalid command line, before anything is done."""


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Turns a `ValueError` or `TypeError` in its block into a `UsageError`."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """
    Ends the process with one line on the standard error: exit status 1 for a runtime error, 2 for an invalid command
    line (nothing was done), 130 after Ctrl-C, 143 after SIGTERM, 141 if the pipe of the standard output is closed.
    Settings are called by their flags. Characters that the terminal cannot show are escaped.
    """
    FLAGS.set(frozenset())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if in_main_thread else None
    try:
        yield
        sys.stdout.flush()  # reports a full disk here; at exit Python would print a traceback
    except KeyboardInterrupt as stop:
        for number in (signal.SIGINT, signal.SIGTERM) if in_main_thread else ():
            signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        kept = " ".join(str(stop).split()) or "Nothing was left half written; the same command begins anew."
        if os.environ.get("RANK", "0") == "0":  # torchrun stops all processes, one reports it
            print(f"stopped: {kept}", file=sys.stderr)
        sys.exit(143 if isinstance(stop, Terminated) else 130)
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # or Python would report the unwritten buffer at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exc()
        ended = SystemExit(f"error: {_message(error)}")
        print(ended, file=sys.stderr)
        ended.code = 2 if isinstance(error, UsageError) else 1
        raise ended from error
    finally:
        if in_main_thread and before is not None:
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _message(error: Exception) -> str:
    message = with_flags(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error.filename or 'The output'}: {error.strerror}. {REMEDIES[error.errno]}"
    if isinstance(error, EXPECTED):
        return message or type(error).__name__
    if type(error).__name__ in ("OutOfMemoryError", "MemoryError"):  # by name: torch is not imported
        return f"Out of memory: lower the batch size, or --max_seq_length. {message}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__}: {message} ({Path(place.filename).name}, line {place.lineno}). If the input is as it "
        f"should be, this is a fault of hf_lcl: {TRACEBACK_VARIABLE}=1 shows where."
    )


def with_flags(message: str) -> str:
    """
    Rewrites the settings in a message as flags of the command: `alpha=2.0` as `--alpha 2.0`, and `max_steps` as
    `--max_steps`. Paths and what stands in quotes are not touched, nor `out_of_scope` alone, which is a class.
    """
    names = "|".join(sorted(FLAGS.get(), key=len, reverse=True)) or "(?!)"

    def flag(found: re.Match[str]) -> str:
        name, is_given = found[1], found[2] is not None
        may_be_a_word = "_" not in name or name == "out_of_scope"
        return name if may_be_a_word and not is_given else f"--{name}{' ' * is_given}"

    return re.sub(rf"(?<![\w./'\"`-])({names})(?:(=)(?=\S)|(?![\w=/'\"`-]|\.\w))", flag, message)


@contextmanager
def telling_what_is_kept(kept: Callable[[], str]) -> Iterator[None]:
    """Ends a stopped command with the message of `kept`: what is on disk, and which command resumes the run."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(kept()) from stop


def own_command() -> str:
    """The command line of this process, as typed, with Hub tokens replaced by `...`."""
    program, *arguments = sys.argv
    is_ours = Path(program).name in ("__main__.py", "hf-lcl")
    shown = ["hf-lcl"] if is_ours else ["python", program]
    for before, argument in zip([program, *arguments], arguments):
        is_token = before.startswith("--") and before.endswith("token")
        shown.append("..." if is_token else re.sub(r"(?<=token=).+", "...", argument))
    return shlex.join(shown)
