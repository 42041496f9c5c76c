"""One of several processes, each of which records its batches of a data set and of a stream."""

import json
import sys
from pathlib import Path

import sampling_process
import streaming_process
import torch


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    taken = {"steps": sampling_process.run_both(folder), "batches": streaming_process.run_all(folder)}
    (folder / f"rank-{torch.distributed.get_rank()}.json").write_text(json.dumps(taken))
    torch.distributed.destroy_process_group()  # whose threads must not outlive the interpreter
