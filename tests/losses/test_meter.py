"""Weighted means of the parts of the loss over many batches."""

import pytest
import torch

from hf_lcl.losses.meter import PartMeter
from hf_lcl.losses.objective import Part


def part(value: float, weight: float | None = None) -> Part:
    return Part(torch.tensor(value), weight)


def test_a_mean_counts_each_batch_by_its_weight_and_scale():
    meter = PartMeter()
    meter.add({"loss": part(2.0), "similarity": part(0.5, 3)})
    meter.add({"loss": part(5.0), "similarity": part(-0.25, 1)}, scale=0.5)
    meter.add({"loss": part(11.0), "similarity": part(0.9, 0)})
    assert meter.averages() == pytest.approx(
        {"loss": (2 + 5 / 2 + 11) / 2.5, "similarity": (3 * 0.5 - 0.25 / 2) / 3.5}
    )
    meter.add({"loss": part(7.0), "similarity": part(0.9, 0)})
    assert meter.averages() == {"loss": 7.0}  # starts afresh; without pairs there is no similarity
    assert meter.averages() == {}


def test_rows_of_other_processes_count_and_those_that_pad_the_last_batch_do_not():
    meter = PartMeter()
    other = torch.tensor([[9.0], [1.0]])  # loss and weight of a text in another process
    meter.add({"loss": part(3.0)}, rows=4, gather_rows=lambda rows: torch.cat([rows[:2], other.expand(1, 2, 1)]))
    assert meter.averages() == pytest.approx({"loss": (3 + 3 + 9) / 3})
    for share, pairs, rows in ((1.0, 8, 8), (0.0, 2, 2)):  # the means of 8 texts, and of 2
        meter.add({"valid": part(share, pairs), "loss": part(share)}, rows=rows, gather_rows=lambda rows: rows)
    assert meter.averages() == pytest.approx({"valid": 0.8, "loss": 0.8})
    meter.add({"loss": part(3.0, 2)})
    assert meter.averages(reduce=lambda totals: totals + 4 * other) == pytest.approx({"loss": (2 * 3 + 4 * 9) / 6})
