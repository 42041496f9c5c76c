"""The rows of all processes, and the gradient that comes back to each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_lcl.scaling import gather


ROWS = {0: [[1.0, 2.0]], 1: [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]}
# The loss of process r is (r + 1) * sum of number * row, with the numbers from 1 to 4. Without the package, whose
# imports take seconds.
PROCESS = """
import json, sys
import torch
import torch.distributed as dist
from gather import gather_rows
rank, rows = int(sys.argv[2]), json.loads(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=2)
own = torch.tensor(rows, requires_grad=True)
everybodys, start = gather_rows(own)
((rank + 1) * torch.arange(1.0, 5).unsqueeze(1) * everybodys).sum().backward()
dist.barrier()
print(json.dumps({"rows": everybodys.tolist(), "start": start, "gradient": own.grad.tolist()}))
"""


def test_rows_come_in_the_order_of_the_processes_and_gradients_add_up(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path / "meeting"), str(rank), json.dumps(rows)],
            stdout=subprocess.PIPE,
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(gather.__file__).parent)},
            text=True,
        )
        for rank, rows in ROWS.items()
    ]
    found = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    everybodys = [row for rows in ROWS.values() for row in rows]
    for (rank, rows), of_process, start in zip(ROWS.items(), found, (0, 1), strict=True):
        assert of_process["rows"] == [pytest.approx(row) for row in everybodys]
        assert of_process["start"] == start
        factors = [(1 + 2) * number for number in range(start + 1, start + len(rows) + 1)]
        assert of_process["gradient"] == [[factor, factor] for factor in factors], rank
