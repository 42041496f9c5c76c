"""The two clocks of the benchmarks: wall-clock time and CPU time."""

import time
from collections.abc import Callable


# CPU time does not advance while other processes use the CPU.
CLOCKS = {"seconds": time.perf_counter, "processor_seconds": time.process_time}


def time_of(work: Callable[[], object]) -> dict[str, float]:
    """Runs `work`, and returns its seconds by each clock."""
    starts = {clock: now() for clock, now in CLOCKS.items()}
    work()
    return {clock: now() - starts[clock] for clock, now in CLOCKS.items()}
