"""The commands of the first hour, one after the other, on a csv with other column names."""

import csv
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from launching import run_copy
from transformers import pipeline

import hf_lcl


SCRIPT = Path(__file__).parents[2] / "examples" / "first_hour.sh"
# Replaces the program while the script runs, and records its arguments.
NOTE = """#!/usr/bin/env bash
printf '%q ' "$@" >> commands
echo >> commands
"""
QUEUES = {"refund": "I want my money back for order", "delivery": "The parcel has not come yet, order"}


def test_the_program_is_installed():
    ran = subprocess.run([Path(sys.executable).parent / "hf-lcl", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip().endswith(hf_lcl.__version__)


@pytest.mark.slow
def test_a_csv_becomes_all_that_the_script_names(tmp_path):
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Ticket ID", "Created", "Body", "Queue"])
        for row in range(40):
            queue = list(QUEUES)[row % 2]
            writer.writerow([f"T-{row}", f"2024-01-{row % 28 + 1:02d} 10:{row:02d}", f"{QUEUES[queue]} {row}", queue])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "hf-lcl").write_text(NOTE)
    (tmp_path / "bin" / "hf-lcl").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(SCRIPT), "tickets.csv", "--max_steps", "2"]  # limits the training
    ran = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    commands = [shlex.split(line) for line in (tmp_path / "commands").read_text().splitlines()]
    assert [name for name, *_ in commands] == ["train", "predict", "export", "demo"]
    for words in commands:  # each in a separate process, as the script would run them
        run_copy(["-m", "hf_lcl", *words], tmp_path / "printed", tmp_path)
    out = tmp_path / "tickets_classifier"
    for name in ("report/index.html", "README.md", "predictions.csv", "settings.yaml", "model.safetensors"):
        assert (out / name).is_file()
    assert (tmp_path / "tickets_classifier-onnx" / "model.onnx").is_file()
    assert (tmp_path / "space" / "app.py").is_file()
    with (tmp_path / "labelled.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert {"Ticket ID", "Created", "Body", "Queue", "label", "probability"} <= set(rows[0])
    plain = pipeline("text-classification", model=str(out))
    assert [answer["label"] for answer in plain([row["Body"] for row in rows])] == [row["label"] for row in rows]
