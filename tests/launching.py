"""Runs scripts and commands in forked processes, which need not import the large packages again."""

import os
import runpy
import socket
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from copies import COPIES


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def start_copy(
    command: Sequence[str], output: Path, folder: Path | None = None, environment: dict[str, str] | None = None
) -> BaseProcess:
    """
    Starts a `python` command (without that word) in a forked process and a folder; writes its output to `output`.
    """
    process = COPIES.Process(target=_become, args=([*command], output, folder or Path.cwd(), environment or {}))
    process.start()
    return process


def run_copy(command: Sequence[str], output: Path, folder: Path | None = None) -> str:
    """Runs such a command, which must succeed, and returns its output."""
    return wait_for_all([start_copy(command, output, folder)], [output])


def run_copies(command: Sequence[str], output: Path, count: int) -> str:
    """Runs such a command in `count` processes like torchrun, which must succeed, and returns their output."""
    port = free_port()
    outputs = [output.with_name(f"{output.name}-{rank}") for rank in range(count)]
    processes = []
    for rank, path in enumerate(outputs):
        where = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": count,
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": port,
        }
        environment = {name: str(value) for name, value in where.items()}
        processes.append(start_copy(command, path, environment=environment))
    return wait_for_all(processes, outputs)


def wait_for_all(processes: Sequence[BaseProcess], outputs: Sequence[Path]) -> str:
    """Waits for processes, which must succeed, and returns their output."""
    for process in processes:
        process.join()
    printed = "\n".join(output.read_text() for output in outputs)
    assert [process.exitcode for process in processes] == [0] * len(processes), printed
    return printed


def _become(command: list[str], output: Path, folder: Path, environment: dict[str, str]) -> None:
    with output.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.chdir(folder)
    os.environ |= environment
    if command[0] == "-c":
        sys.argv = ["-c", *command[2:]]
        exec(command[1], {"__name__": "__main__"})
    elif command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        sys.path.insert(0, str(Path(command[0]).parent))
        runpy.run_path(command[0], run_name="__main__")
