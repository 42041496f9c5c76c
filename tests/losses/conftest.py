"""Runs tests with both implementations of the losses, each for batches of any size."""

from collections.abc import Iterator

import pytest

from hf_lcl.losses import blockwise, log_ratios


@pytest.fixture(scope="module", params=["direct", "blocks"])
def form(request) -> Iterator[str]:
    """Makes the losses use one form for any number of pairs; a block holds about 40 fp32 pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_ratios, "DIRECT_PAIRS", float("inf") if request.param == "direct" else -1)
        patch.setattr(blockwise, "CPU_BLOCK_BYTES", 160)
        yield request.param
