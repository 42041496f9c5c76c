"""The processes of `torchrun` or `accelerate launch`, which share a disk and wait for each other."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Processes:
    """The world size, the rank of this process, and the barrier."""

    count: int = 1
    index: int = 0
    wait: Callable[[], object] = lambda: None


@contextmanager
def started_processes() -> Iterator[Processes]:
    """The processes that a launcher started. If one fails, those that wait for it fail as well."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Processes()
        return
    from torch import distributed  # a single process does not need torch

    # Only barriers are needed, so that gloo is enough with GPUs, too. Waiting may take days.
    distributed.init_process_group("gloo", timeout=timedelta(days=30))

    def wait() -> None:
        try:
            distributed.barrier()
        except RuntimeError as error:  # a connection that was closed
            raise ValueError("Another process has ended before this one: see its output.") from error

    try:
        yield Processes(distributed.get_world_size(), distributed.get_rank(), wait)
    finally:
        distributed.destroy_process_group()
