"""The processes of `torchrun` or `accelerate launch`, which share a disk and wait for each other."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Processes:
    """How many there are, which one this is, and what waits until all have come as far."""

    count: int = 1
    index: int = 0
    wait: Callable[[], object] = lambda: None


@contextmanager
def started_processes() -> Iterator[Processes]:
    """The processes that a launcher started with this one. Where one fails, those that wait for it do, too."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Processes()
        return
    from torch import distributed  # a single process may do without torch

    # What they wait for may take days, and is no tensor: gloo will do beside GPUs, too.
    distributed.init_process_group("gloo", timeout=timedelta(days=30))

    def wait() -> None:
        try:
            distributed.barrier()
        except RuntimeError as error:  # a connection that was closed
            raise ValueError("Another of the processes has ended before this one: see what it says.") from error

    try:
        yield Processes(distributed.get_world_size(), distributed.get_rank(), wait)
    finally:
        distributed.destroy_process_group()
