"""The ledger of finished runs: no run is repeated, and no finished run is lost."""

import json

import pytest

from hf_lcl.evaluation.ledger import Ledger


def test_a_later_ledger_knows_the_runs_of_an_earlier_one(tmp_path):
    path = tmp_path / "results" / "runs.jsonl"
    Ledger(path).add({"system": "ce", "seed": 0}, {"accuracy": 0.5})
    Ledger(path).add({"system": "ce", "seed": 1}, {"accuracy": 0.6})
    ledger = Ledger(path)
    assert {"seed": 1, "system": "ce"} in ledger
    assert {"system": "ce", "seed": 2} not in ledger
    assert [run["accuracy"] for run in ledger.runs()] == [0.5, 0.6]


def test_a_line_that_was_cut_is_run_again_and_spoils_no_other(tmp_path):
    path = tmp_path / "runs.jsonl"
    Ledger(path).add({"seed": 0}, {})
    with open(path, "a") as file:
        file.write('{"settings": {"seed": 1}, "acc')
    ledger = Ledger(path)
    assert {"seed": 1} not in ledger
    ledger.add({"seed": 1}, {"accuracy": 1.0})
    assert [run["settings"]["seed"] for run in Ledger(path).runs()] == [0, 1]


def test_a_file_is_read_up_to_where_it_was_cut_inside_a_character_too(tmp_path):
    path = tmp_path / "runs.jsonl"
    Ledger(path).add({"seed": 0}, {"name": "خشم"})
    first = path.stat().st_size
    Ledger(path).add({"seed": 1}, {"name": "خشم"})
    whole = path.read_bytes()
    for size in range(len(whole) - 1):
        path.write_bytes(whole[:size])
        assert [run["settings"]["seed"] for run in Ledger(path).runs()] == [0] * (size >= first - 1)


def test_another_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"text": "hello"}) + "\n")
    with pytest.raises(ValueError, match="line 1 is no finished run"):
        Ledger(path)
