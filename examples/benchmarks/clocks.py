"""The two clocks that benchmarks go by."""

import time
from collections.abc import Callable


# That of the processor stands still while other work has it.
CLOCKS = {"seconds": time.perf_counter, "processor_seconds": time.process_time}


def time_of(work: Callable[[], object]) -> dict[str, float]:
    """Seconds by each clock."""
    starts = {clock: now() for clock, now in CLOCKS.items()}
    work()
    return {clock: now() - starts[clock] for clock, now in CLOCKS.items()}
