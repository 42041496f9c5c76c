"""The benchmarks of large files and of several processes count every row and every byte."""

import json
from types import SimpleNamespace

import large_files
import processes
import pytest
from launching import run_copy


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_a_run_predicts_each_row_once_and_is_kept(plain, make_texts, tmp_path, monkeypatch, suffix):
    if suffix != ".jsonl":  # one command in a new interpreter is enough: the others run in a forked copy
        copy = SimpleNamespace(run=lambda command, **_: run_copy(command[1:], tmp_path / "printed"))
        monkeypatch.setattr(large_files, "subprocess", copy)
    make_texts(4, 3).to_json(tmp_path / "few.jsonl")
    flags = [f"--model={plain}", f"--texts={tmp_path / 'few.jsonl'}", "--rows=50", f"--suffix={suffix}"]
    flags.append(f"--results={tmp_path / 'runs.jsonl'}")
    large_files.main(flags)
    first = (tmp_path / "runs.jsonl").read_text()
    (run,) = map(json.loads, first.splitlines())
    assert run["settings"] == {"model": "plain", "rows": 50, "processes": 1, "suffix": suffix, "round": 0}
    assert 100 * 2**20 < run["peak_bytes"][0] < 2**31  # more than 100 MiB for torch, less than the memory of a machine
    assert run["processor_seconds"][0] > 0
    large_files.main(flags)
    assert (tmp_path / "runs.jsonl").read_text() == first
    assert f"| plain | {suffix} | 0.0 | 50 | 1 |" in (tmp_path / "runs.md").read_text()


def test_rows_in_another_order_are_an_error(tmp_path):
    (tmp_path / "out.jsonl").write_text('{"id": 1}\n{"id": 0}\n')
    with pytest.raises(RuntimeError, match="another order"):
        large_files.count(tmp_path / "out.jsonl")


@pytest.mark.slow
def test_two_processes_send_what_the_formulas_say(tmp_path):
    results = tmp_path / "processes.jsonl"
    shapes = ["--layers=1", "--hidden_size=64", "--vocab_size=2000", "--batch_size=128", "--sequence_length=4"]
    processes.main(["--processes", "2", *shapes, "--steps=5", f"--results={results}"])
    (run,) = map(json.loads, results.read_text().splitlines())
    weights, loss = processes.formulas(run["settings"], run["ranks"][0]["weights"])
    ways = run["ranks"][0]["ways"]
    # The device also counts packet headers, and the traffic of other programs.
    assert weights < ways[processes.OWN]["sent_bytes"] / 2 < 1.5 * weights
    assert loss < ways[processes.LOSS]["sent_bytes"] / 2 < 1.5 * loss
    assert "| 2 | " in results.with_suffix(".md").read_text()
