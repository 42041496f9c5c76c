"""How commands end: by an error, a signal, a full disk, or an output that nobody reads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hf_lcl.commands import exits


def run(body, **options):
    """Runs statements inside `one_line_errors`, in a process that imports only its module."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    # A shell makes background processes ignore Ctrl-C, and these tests may run in one.
    head = (
        "import os, signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from exits import one_line_errors, telling_what_is_kept\nwith one_line_errors():"
    )
    code = f"{head}\n{lines}"
    environment = {**os.environ, "PYTHONPATH": str(Path(exits.__file__).parent)} | options.pop("env", {})
    return subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=30, **options)


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        ("ValueError('a\\n b')", "error: a b"),
        ("ValueError()", "error: ValueError"),
        ("OSError(28, 'No space left on device', 'out/a')", "error: out/a: No space left on device. Make room"),
        (
            "OSError(30, 'Read-only file system', '/h')",
            "error: /h: Read-only file system. Name another folder. Caches",
        ),
        ("KeyError('text')", "error: KeyError: 'text' (<string>, line 4). If the input is as it should be"),
        ("IndexError('list index out of range')", "error: IndexError: list index out of range (<string>, line 4)"),
        ("RuntimeError('size')", "error: RuntimeError: size (<string>, line 4)"),
        ("MemoryError()", "error: Out of memory: lower the batch size"),
    ],
)
def test_an_error_is_one_line(raised, line):
    ended = run(f"raise {raised}")
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(line)
    assert ended.stderr.count(b"\n") == 1
    assert b"Traceback" in run(f"raise {raised}", env={"HF_LCL_TRACEBACK": "1"}).stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_one_line_and_its_status(number, status):
    ended = run(
        f"with telling_what_is_kept(lambda: 'a is whole'):\n    os.kill(os.getpid(), {int(number)}); time.sleep(9)"
    )
    assert (ended.returncode, ended.stderr) == (status, b"stopped: a is whole\n")
    ended = run(f"os.kill(os.getpid(), {int(number)}); time.sleep(9)")
    assert ended.returncode == status
    assert ended.stderr == b"stopped: Nothing was left half written; the same command begins anew.\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_no_output_dies_of_the_terminal(encoding):
    body = "print('خشم', flush=True)\nprint('خشم', file=sys.stderr)\nraise ValueError('خشم \\udcff')"
    ended = run(body, env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert ended.returncode == 1
    assert ended.stdout.strip() == rb"\u062e\u0634\u0645"
    assert ended.stderr.split(b"\n")[1] == rb"error: \u062e\u0634\u0645 \udcff"


def test_a_full_disk_under_the_standard_output_is_told():
    with open("/dev/full", "w") as full:
        code = "from exits import one_line_errors\nwith one_line_errors():\n    print('a')"
        environment = {**os.environ, "PYTHONPATH": str(Path(exits.__file__).parent)}
        ended = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, env=environment)
    assert ended.stderr.startswith(b"error: ")
    assert b"No space left on device" in ended.stderr.split(b"\n")[0]
    assert b"Traceback" not in ended.stderr


def test_a_reader_that_went_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    code = "from exits import one_line_errors\nwith one_line_errors():\n    print('a' * 100_000)"
    environment = {**os.environ, "PYTHONPATH": str(Path(exits.__file__).parent)}
    ended = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, env=environment)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_the_own_command_shows_no_token(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["/x/hf_lcl/__main__.py", "train", "--hub_token", "hf_a", "--token=hf_b", "--a", "b c"]
    )
    assert exits.own_command() == "hf-lcl train --hub_token ... --token=... --a 'b c'"
    monkeypatch.setattr(sys, "argv", ["examples/run_classification.py", "a.yaml"])
    assert exits.own_command() == "python examples/run_classification.py a.yaml"
