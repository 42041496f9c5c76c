"""The search script: from flags to the best setting, resumed after a kill, and in two processes at once."""

import csv
import importlib.util
import json
import sqlite3
import sys
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from command_line import SCRIPT, command_line
from launching import run_copy, start_copy, wait_for_all

from hf_lcl.commands.exits import one_line_errors


pytest.importorskip("optuna")
SEARCH = SCRIPT.with_name("search") / "run_search.py"


@pytest.fixture(scope="module")
def search():
    """`main` of `examples/run_search.py`."""
    spec = importlib.util.spec_from_file_location("run_search", SEARCH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_search"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def flags(flags) -> dict[str, str]:
    """Flags of a search with trials of several epochs."""
    return {name: value for name, value in flags.items() if name != "max_steps"}


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "trials.csv").open()))


@pytest.mark.slow
def test_the_best_setting_runs_as_it_is_and_scores_the_same(search, run, flags, tmp_path, capsys):
    flags |= {"objective": "lcl", "num_train_epochs": "1", "learning_rate": "3e-3", "max_train_samples": "48"}
    search(command_line(flags | {"n_trials": "3", "temperature": "1", "hub_token": "hf_secret"}))
    printed = capsys.readouterr().out
    out = tmp_path / "out"
    trials = rows(out)
    assert len(trials) == 3
    assert {row["state"] for row in trials} <= {"complete", "pruned"}
    best = max((row for row in trials if row["state"] == "complete"), key=lambda row: float(row["eval_macro_f1"]))
    assert printed.split("best trials\n")[1].splitlines()[1].split()[0] == best["trial"]
    settings = json.loads((out / "best.json").read_text())
    assert settings["learning_rate"] == float(best["learning_rate"])
    assert settings["max_train_samples"] == 48
    assert "hf_secret" not in (out / "best.json").read_text()
    assert b"hf_secret" not in (out / "search.db").read_bytes()
    run([str(out / "best.json")])
    results = json.loads((out / "best" / "all_results.json").read_text())
    assert results["eval_macro_f1"] == pytest.approx(float(best["eval_macro_f1"]), abs=1e-12)


@pytest.mark.slow
def test_the_grid_of_the_paper_and_its_heat_map(search, flags, tmp_path, capsys):
    flags |= {"space": "paper", "num_train_epochs": "1", "max_train_samples": "32", "prune": "false"}
    for trials in ("2", "4", "4"):
        search(command_line(flags | {"n_trials": trials}))
    out = tmp_path / "out"
    points = [(row["alpha"], row["temperature"], row["per_device_train_batch_size"]) for row in rows(out)]
    assert points == [("0.1", "0.07", "4"), ("0.1", "0.07", "8"), ("0.1", "0.07", "32"), ("0.1", "7.0", "4")]
    for name in ("heat_map.png", "heat_map_dark.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    settings = json.loads((out / "best.json").read_text())
    assert settings["normalize_embeddings"] is False
    assert not list(out.glob("run-*"))


def test_a_search_may_run_out_of_time(search, flags, capsys):
    search(command_line(flags | {"timeout": "0"}))
    assert "0 of 20 trials have ended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": "narrow"}, ["--space 'narrow'", "'paper'", "'wide'"]),
        ({"n_trials": "0"}, ["n_trials"]),
        ({"space": "paper", "objective": "ce"}, ["--space 'paper'", "'scl'"]),
        ({"study_db": "train_file"}, ["--study_db ", "no SQLite file"]),
        ({"validation_file": None}, ["No validation split", "--validation_file"]),
        ({"train_file": "none.jsonl"}, ["none.jsonl", "does not exist"]),
    ],
)
def test_bad_input_ends_in_one_line(search, flags, changes, words):
    flags = {name: value for name, value in (flags | changes).items() if value is not None}
    if "study_db" in flags:
        flags["study_db"] = flags["train_file"]
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        search(command_line(flags))
    message = str(stopped.value)
    assert message.startswith("error: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


def states(database: Path) -> Counter:
    """The number of trials by state, read without optuna."""
    if not database.exists():
        return Counter()
    try:
        with sqlite3.connect(database, timeout=30) as connection:
            return Counter(state for (state,) in connection.execute("SELECT state FROM trials"))
    except sqlite3.OperationalError:
        return Counter()  # no table yet


def wait_for(process: BaseProcess, database: Path, **wanted: int) -> None:
    deadline = time.monotonic() + 120
    while any(states(database)[name] < number for name, number in wanted.items()):
        assert process.is_alive()
        assert time.monotonic() < deadline, states(database)
        time.sleep(0.01)


def wait_for_parameters(process: BaseProcess, database: Path) -> None:
    """Waits until the running trial has drawn all of its parameters."""
    with sqlite3.connect(database, timeout=30) as connection:
        numbers: list[int] = []
        while len(numbers) < 2 or len(set(numbers)) > 1:
            assert process.is_alive()
            time.sleep(0.01)
            query = "SELECT COUNT(*) FROM trial_params JOIN trials USING (trial_id) GROUP BY trial_id"
            numbers = [number for (number,) in connection.execute(query)]


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_where_it_was(flags, tmp_path):
    flags |= {"n_trials": "3", "num_train_epochs": "3", "max_train_samples": "48", "prune": "false"}
    database = tmp_path / "out" / "search.db"
    command = [str(SEARCH), *command_line(flags)]
    process = start_copy(command, tmp_path / "killed")
    wait_for(process, database, COMPLETE=1, RUNNING=1)
    wait_for_parameters(process, database)
    process.kill()
    process.join()
    before = states(database)
    assert before["RUNNING"] == 1
    with sqlite3.connect(database) as connection:
        finished = connection.execute("SELECT number, datetime_complete FROM trials WHERE state='COMPLETE'").fetchall()
        ((cut,),) = connection.execute("SELECT trial_id FROM trials WHERE state='RUNNING'").fetchall()
        values = dict(connection.execute("SELECT param_name, param_value FROM trial_params WHERE trial_id=?", (cut,)))
    run_copy(command, tmp_path / "again")
    assert states(database) == Counter(COMPLETE=3, FAIL=1)
    with sqlite3.connect(database) as connection:
        ended = connection.execute("SELECT number, datetime_complete FROM trials WHERE state='COMPLETE'").fetchall()
        assert set(finished) <= set(ended)  # these were not run again
        runs = {}
        for trial, name, value in connection.execute(
            "SELECT trial_id, param_name, param_value FROM trial_params JOIN trials USING (trial_id) "
            "WHERE state='COMPLETE'"
        ):
            runs.setdefault(trial, {})[name] = value
    assert list(runs.values()).count(values) == 1  # the trial that was killed
    assert len({tuple(sorted(run.items())) for run in runs.values()}) == 3
    assert len(rows(tmp_path / "out")) == 3


@pytest.mark.slow
def test_two_processes_share_the_grid(flags, tmp_path):
    flags |= {"space": "paper", "n_trials": "8", "num_train_epochs": "2", "prune": "false"}
    outputs = [tmp_path / "first", tmp_path / "second"]
    both = [start_copy([str(SEARCH), *command_line(flags)], output) for output in outputs]
    wait_for_all(both, outputs)
    points = [(row["alpha"], row["temperature"], row["per_device_train_batch_size"]) for row in rows(tmp_path / "out")]
    assert len(points) == len(set(points)) == 8
    assert states(tmp_path / "out" / "search.db") - Counter(PRUNED=2) == Counter(COMPLETE=8)
    worked = [output.read_text().count(" finished with value") for output in outputs]
    assert sum(worked) == 8
    assert min(worked) >= 1
